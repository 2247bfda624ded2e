"""`triptych archival`: files and facts in and out of archival memory."""
