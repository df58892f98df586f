//! adp, the host of any set of applications, and the lab.
