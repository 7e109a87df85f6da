"""The site of the course: notebooks, findings and reference as pages that open from a disk."""
