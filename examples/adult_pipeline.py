"""
A pipeline and a grid search
============================

Adult: encode, scale, train, prune, and search the rate and the constraint.

The groups are race × sex. There are two searches over the same grid, one by accuracy and one by the
accuracy gap between groups; the test set then shows the cost of each choice.
Run ``python examples/adult_pipeline.py [folder with adult/]``; without the files, fairlearn
downloads them.
"""

import sys

import pandas as pd
import sklearn
import torch
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from sk_prunefair import EqualLossConstraint, FairPrunedClassifier
from sk_prunefair.datasets import load_adult
from sk_prunefair.metrics import accuracy_gap_scorer, group_mean_accuracy
from sk_prunefair.modules import MLP

data_home = sys.argv[1] if len(sys.argv) > 1 else None
train, test = (load_adult(data_home=data_home, subset=subset) for subset in ("train", "test"))

# With routing on, sensitive_features reach the classifier and the scorers through the Pipeline and
# the search. Without it, write pipe.fit(X, y, clf__sensitive_features=groups).
sklearn.set_config(enable_metadata_routing=True)

pipe = Pipeline(
    [
        (
            "encode",
            make_column_transformer(
                (StandardScaler(), make_column_selector(dtype_include="number")),
                (
                    OneHotEncoder(handle_unknown="ignore", sparse_output=False),
                    make_column_selector(dtype_exclude="number"),
                ),
            ),
        ),
        (
            "clf",
            FairPrunedClassifier(
                MLP,  # nobody has to count the encoder's columns
                module__hidden=(64, 32),
                criterion=torch.nn.CrossEntropyLoss,
                optimizer=torch.optim.Adam,
                lr=1e-3,
                max_epochs=5,
                batch_size=256,
                finetune_epochs=2,
                train_split=None,
                callbacks=[("equal_loss", EqualLossConstraint(phase="both"))],
                verbose=0,
                random_state=0,
            ),
        ),
    ]
)

search = GridSearchCV(
    pipe,
    {
        "clf__prune_rate": [0.5, 0.9, 0.95],
        "clf__callbacks__equal_loss__step_size": [0.0, 0.1, 0.5],
    },
    scoring={"accuracy": "accuracy", "gap": accuracy_gap_scorer},
    refit=False,
    cv=StratifiedKFold(3, shuffle=True, random_state=0),
    n_jobs=2,
)
search.fit(train.data, train.target, sensitive_features=train.sensitive_features)

results = pd.DataFrame(search.cv_results_)
columns = {
    "param_clf__prune_rate": "rate",
    "param_clf__callbacks__equal_loss__step_size": "step_size",
    "mean_test_accuracy": "accuracy",
    "mean_test_gap": "gap",
}
table = results[list(columns)].rename(columns=columns)
table["gap"] = -table["gap"]  # a scorer's higher is better
print("cross-validation on the training set\n", table.round(3).to_string(index=False), "\n")

choices = {"accuracy": table.accuracy.idxmax(), "gap": table.gap.idxmin()}
for best in dict.fromkeys(choices.values()):
    chosen_by = " and by ".join(name for name, index in choices.items() if index == best)
    pipe.set_params(**search.cv_results_["params"][best])
    pipe.fit(train.data, train.target, sensitive_features=train.sensitive_features)
    report = pipe[-1].fairness_report(
        pipe[:-1].transform(test.data), test.target, sensitive_features=test.sensitive_features
    )
    balanced = group_mean_accuracy(
        test.target, pipe.predict(test.data), sensitive_features=test.sensitive_features
    )
    print(f"chosen by {chosen_by}: {table.loc[best, ['rate', 'step_size']].to_dict()}")
    print(f"on the test set, mean of the groups' accuracies {balanced:.3f}\n{report}\n")

# %%
# Result: removing half of the weights costs hardly anything here, removing 90 % a point of
# accuracy, and at 0.95 the gap widens. Most of the gap existed before any pruning: the groups
# have different label rates, which equal losses do not change.

# sphinx_gallery_thumbnail_path = "pictures/gallery_adult_pipeline.png"
