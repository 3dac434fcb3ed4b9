//! The gateway itself: every decision, no IO.
