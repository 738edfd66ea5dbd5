"""The load that a person drives by hand, on Locust's web page."""
