"""The outside: command line, configuration, routes, protocols and pages."""
