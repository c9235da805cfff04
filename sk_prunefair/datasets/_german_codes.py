"""The codes of the German credit file in words: attribute number, column, value of each code.

The words are those of OpenML's edition ("credit-g"), so that both sources yield the same table.
"""

from __future__ import annotations

COLUMNS = [
    "checking_status",
    "duration",
    "credit_history",
    "purpose",
    "credit_amount",
    "savings_status",
    "employment",
    "installment_commitment",
    "personal_status",
    "other_parties",
    "residence_since",
    "property_magnitude",
    "age",
    "other_payment_plans",
    "housing",
    "existing_credits",
    "job",
    "num_dependents",
    "own_telephone",
    "foreign_worker",
]

# In the order of the codes: A11, A12, … for the first attribute.
_WORDS = {
    "checking_status": ["<0", "0<=X<200", ">=200", "no checking"],
    "credit_history": [
        "no credits/all paid",
        "all paid",
        "existing paid",
        "delayed previously",
        "critical/other existing credit",
    ],
    "purpose": [
        "new car",
        "used car",
        "furniture/equipment",
        "radio/tv",
        "domestic appliance",
        "repairs",
        "education",
        "vacation",
        "retraining",
        "business",
        "other",
    ],
    "savings_status": ["<100", "100<=X<500", "500<=X<1000", ">=1000", "no known savings"],
    "employment": ["unemployed", "<1", "1<=X<4", "4<=X<7", ">=7"],
    "personal_status": [
        "male div/sep",
        "female div/dep/mar",
        "male single",
        "male mar/wid",
        "female single",
    ],
    "other_parties": ["none", "co applicant", "guarantor"],
    "property_magnitude": ["real estate", "life insurance", "car", "no known property"],
    "other_payment_plans": ["bank", "stores", "none"],
    "housing": ["rent", "own", "for free"],
    "job": [
        "unemp/unskilled non res",
        "unskilled resident",
        "skilled",
        "high qualif/self emp/mgmt",
    ],
    "own_telephone": ["none", "yes"],
    "foreign_worker": ["yes", "no"],
}
# These two attributes count their codes from zero: A30, A40.
_FROM_ZERO = {"credit_history", "purpose"}


def codes_of(column: str) -> dict[str, str]:
    """Return the codes of one column with their words; empty for a column of numbers."""
    attribute = COLUMNS.index(column) + 1
    first = 0 if column in _FROM_ZERO else 1
    words = _WORDS.get(column, [])
    return {f"A{attribute}{number}": word for number, word in enumerate(words, start=first)}


CODES = {column: codes_of(column) for column in _WORDS}
NUMBERS = [column for column in COLUMNS if column not in _WORDS]
