//! Tests of the machine: rules by example, every input sequence, long random ones, and faults of the past.

mod control;
pub(in crate::policy) mod fixture;
mod loading;
mod modes;
mod repeats;
mod timing;
