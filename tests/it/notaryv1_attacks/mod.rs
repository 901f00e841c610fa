//! Every row of the attack table in notary-v1.md section 6, named after it.
