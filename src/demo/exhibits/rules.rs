//! Images that a rule admits or denies whether or not they are signed.

use crate::trust::Reason;

use super::{Exhibition, SetUpError, Topic};

const TOPIC: Topic = Topic::Rules;

impl Exhibition {
    pub(super) fn rules(&mut self) -> Result<(), SetUpError> {
        let allowed = self.push(&"sandbox/app".parse()?, "v1")?;
        self.admitted(TOPIC, "sandbox/app:v1", "not signed, but a rule allows it", &allowed);
        self.push(&"retired/app".parse()?, "v1")?;
        self.denied(TOPIC, "retired/app:v1", "a rule denies it", Reason::DeniedByRule);
        self.push(&"other/app".parse()?, "v1")?;
        self.denied(TOPIC, "other/app:v1", "no rule matches it", Reason::NoRule);
        Ok(())
    }
}
