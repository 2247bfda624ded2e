"""Files to text: a module a format. They read what strangers wrote, so they run in a process of their own."""
