//! The child: launch plan, spawn, feeding, draining, signalling, waiting, adoption.
