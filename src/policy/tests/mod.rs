//! Tests of the machine: rules by example, every input sequence, long random ones, and faults of the past.

mod ancestor;
mod control;
mod exhaustive;
pub(in crate::policy) mod fixture;
mod judge;
mod loading;
mod modes;
mod normal;
mod past;
mod random;
mod repeats;
mod timing;
