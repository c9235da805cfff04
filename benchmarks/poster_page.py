def write_page(rows, path):
    pass


def draw_figures(rows, folder):
    pass
