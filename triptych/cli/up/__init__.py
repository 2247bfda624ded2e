"""`triptych up`: all services on one machine, supervised, with embedded stores."""
