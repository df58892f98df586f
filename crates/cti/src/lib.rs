//! CTI: xsi-api over TCP, TLS and mutual TLS.
