"""Worked examples of our own, the shots before a question; none is from a benchmark."""

from paring.tasks.styles import Shot

MATHEMATICS = (
    Shot(
        "A baker fills 6 trays with 8 rolls each and sells 29 of the rolls. How many rolls are left?",
        "6 trays of 8 rolls are 6 * 8 = 48 rolls. After selling 29 there are 48 - 29 = 19 left.",
        "19",
    ),
    Shot(
        "What is $\\frac{3}{4} - \\frac{1}{6}$?",
        "Over 12 the fractions are 9/12 and 2/12, and 9/12 - 2/12 = 7/12.",
        "\\frac{7}{12}",
    ),
    Shot(
        "For which $x$ is $3x - 7 = 2x + 5$?",
        "Subtracting 2x from both sides gives x - 7 = 5, so x = 12.",
        "12",
    ),
    Shot(
        "A ticket costs $40 and is sold at 15% off. What is its price in dollars?",
        "15% of 40 is 0.15 * 40 = 6, and 40 - 6 = 34.",
        "34",
    ),
    Shot(
        "What is the distance between the points $(1, 2)$ and $(4, 4)$?",
        "The differences are 3 and 2, and the distance is the square root of 3^2 + 2^2 = 13.",
        "\\sqrt{13}",
    ),
)

CHOICE = (
    Shot(
        "Which number is a prime?\n(A) 21\n(B) 27\n(C) 29\n(D) 33",
        "21 = 3 * 7, 27 = 3 * 9 and 33 = 3 * 11 are products. 29 has no divisor but 1 and itself.",
        "C",
    ),
    Shot(
        "A cart moves 12 m in 4 s at a steady speed. How fast is it?\n(A) 3 m/s\n(B) 8 m/s\n(C) 16 m/s\n(D) 48 m/s",
        "Speed is distance over time: 12 m / 4 s = 3 m/s.",
        "A",
    ),
    Shot(
        "Which part of a plant cell turns light into chemical energy?\n(A) nucleus\n(B) vacuole\n(C) cell wall\n"
        "(D) chloroplast",
        "Photosynthesis turns light into chemical energy, and it takes place in the chloroplasts.",
        "D",
    ),
    Shot(
        "How many protons has a neutral atom with 8 electrons?\n(A) 4\n(B) 8\n(C) 16\n(D) 18",
        "In a neutral atom there are as many protons as electrons, so there are 8.",
        "B",
    ),
    Shot(
        "A queue holds 5, then 7 and 9 are added, then one item is taken. Which is taken?\n(A) 7\n(B) 9\n(C) 5\n"
        "(D) none",
        "A queue gives out first what came in first. That is 5.",
        "C",
    ),
)
