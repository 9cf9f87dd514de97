//! What no login shows, and that nothing of the contract is missing.
