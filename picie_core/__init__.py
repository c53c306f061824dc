"""The package that the notebooks of the PiCIE workbook call.

PiCIE (Cho, Mall, Bala, Hariharan, CVPR 2021) segments images without labels: it clusters the pixel features of a
network, and trains the network to keep each pixel's cluster under changes of colour (invariance) and to carry it along
under changes of geometry (equivariance).

Where to start reading, from a user's side to the bottom: `training.run` executes one run of one method as a
`settings.Settings` describes it; `methods` holds one file for each method; `datasets.prepare` gives every data set the
same form. Nothing is imported here, so that `import picie_core` and `picie --help` stay fast.
"""

__version__ = "0.1.0"
