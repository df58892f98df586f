//! Wake-ups among the processes of one data directory.
