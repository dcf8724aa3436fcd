"""The benchmark as one HTML file to look at and listen to: `page.write`."""
