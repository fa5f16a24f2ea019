"""Figures and recoveries for other systems; each module needs its extra."""
