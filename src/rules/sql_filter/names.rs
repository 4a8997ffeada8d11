//! The properties that an expression speaks of, found in a message by one pass over it.

use ahash::AHashMap;

use super::steps::{Steps, TooManySteps};
use crate::message_properties::Properties;

/// What it takes to cut a property out and to look its name up, were there thousands of names.
const PROPERTY_STEPS: usize = 4;

/// Names without doubles; each has a number.
#[derive(Clone, Debug, Default)]
pub struct Names {
    numbers: AHashMap<Box<[u8]>, usize>,
}

impl Names {
    /// The number of a name, a new one if it was not there.
    pub fn number(&mut self, name: &str) -> usize {
        if let Some(number) = self.numbers.get(name.as_bytes()) {
            return *number;
        }
        let number = self.numbers.len();
        self.numbers.insert(name.as_bytes().into(), number);
        number
    }

    /// The values of all names in a message by their numbers: of several properties of one name the
    /// last, as in a Java map; none if it is not UTF-8.
    pub fn find<'m>(
        &self,
        properties: &'m [u8],
        steps: &mut Steps,
    ) -> Result<Vec<Option<&'m str>>, TooManySteps> {
        let mut values = vec![None; self.numbers.len()];
        steps.take_text(properties.len())?;
        for property in Properties::new(properties) {
            steps.take(PROPERTY_STEPS)?;
            let number = self.numbers.get(property.name).copied();
            if let Some(value) = number.and_then(|number| values.get_mut(number)) {
                *value = Some(property.value);
            }
        }
        let text = |value: Option<&'m [u8]>| std::str::from_utf8(value?).ok();
        Ok(values.into_iter().map(text).collect())
    }

    /// What they take in memory besides their letters, about, in bytes.
    pub fn bytes(&self) -> usize {
        self.numbers.len() * 2 * size_of::<(Box<[u8]>, usize)>()
    }
}
