"""Many L2-regularised linear SVMs with squared hinge loss in the primal, by Newton's method, all at once.

Minimised over w for every column p, with one more feature that is always 1 (its weight, the intercept, is regularised
like the others, as liblinear does):

    |w|^2 / 2 + C sum_i max(0, 1 - y_i w.x_i)^2       over the rows with y_i = +1 or -1 (0: left out)

The objective is convex and piecewise quadratic; its generalised Hessian is I + 2 C X_S' X_S with S the rows inside the
margin (Keerthi and DeCoste, 2005; Mangasarian, 2002). One pass over the rows serves all columns: matrix products do
the work where solvers for one column are bound by memory. The systems are solved by conjugate gradients, preconditioned
by the exact inverse for a draw of at most max(2048, 4 D) of the rows in S. The first steps see a quarter of the rows.
"""

from latentlab.newton.steps import CLOSE, MAX_ITER, TOLERANCE, Solution, solve
from latentlab.newton.sums import Rows

__all__ = ["CLOSE", "MAX_ITER", "TOLERANCE", "Rows", "Solution", "solve"]
