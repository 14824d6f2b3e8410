"""What is here, and what would not work: packages, devices, memory, disks, weights, networks.

Whatever may be broken is looked at by processes of its own (`asking`, `probes`), so that a package that cannot be
imported, or that takes its process with it, is a line in the report.
"""

from latentlab.doctor.examining import examine
from latentlab.doctor.form import Finding, Report

__all__ = ["Finding", "Report", "examine"]
