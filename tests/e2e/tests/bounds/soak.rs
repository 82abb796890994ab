//! Hostile and good clients together, in a control group.
