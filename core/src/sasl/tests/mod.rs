//! SCRAM against its vectors, and every mechanism against a hostile server.

mod hostile;
mod scram;
