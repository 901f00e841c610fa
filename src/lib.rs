//! Countersign: a pull-through registry proxy that serves only signed container images.
