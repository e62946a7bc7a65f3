//! Whole models in their scoring form, which the market stage publishes and every shard reads.

use std::any::Any;
use std::collections::BTreeMap;
use std::sync::Arc;

use super::REGISTRY;
use crate::event::TimeMs;

/// A model in the form that scores.
pub type Form = Arc<dyn Any + Send + Sync>;

/// Makes the scoring form of a published content. An error says what is wrong with the content.
pub type Compile = fn(&[u8]) -> Result<Form, String>;

/// The newest version of each model. A clone costs one reference per model, so that a batch pins all that it sees.
#[derive(Debug, Clone, Default)]
pub struct Models(BTreeMap<String, Published>);

#[derive(Debug, Clone)]
struct Published {
    about: About,
    form: Form,
}

/// What is known of a model without looking into it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct About {
    pub version: u64,
    /// Of the tick at which it was published.
    pub time_ms: TimeMs,
    /// Of its content.
    pub bytes: usize,
}

impl Models {
    /// The model and its version; None before it was first published.
    pub fn get<T: 'static>(&self, name: &str) -> Option<(&T, u64)> {
        let published = self.0.get(name)?;
        Some((published.form.downcast_ref()?, published.about.version))
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Puts a version in place of the one before.
    pub fn put(&mut self, name: &str, about: About, form: Form) {
        self.0.insert(name.to_owned(), Published { about, form });
    }

    pub fn remove(&mut self, name: &str) {
        self.0.remove(name);
    }

    pub fn about(&self, name: &str) -> Option<About> {
        self.0.get(name).map(|published| published.about)
    }

    /// Every model by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, About)> {
        self.0.iter().map(|(name, published)| (name.as_str(), published.about))
    }

    /// Of all contents and names; a form is taken to be as large as its content.
    pub fn bytes(&self) -> usize {
        let own = size_of::<(String, Published)>() + 32;
        self.0.iter().map(|(name, published)| own + name.len() + published.about.bytes).sum()
    }
}

/// The scoring form of a content of the model of this name, by the registry.
///
/// # Errors
/// When no analysis knows the name, or its analysis refuses the content.
pub fn compile(name: &str, content: &[u8]) -> Result<Form, String> {
    let mut models = REGISTRY.iter().flat_map(|descriptor| descriptor.models);
    let (_, compile) =
        models.find(|(of, _)| *of == name).ok_or("no analysis publishes a model of that name")?;
    compile(content)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pinned_version_stays_and_bytes_follow() {
        let about = |version, bytes| About { version, time_ms: 0, bytes };
        let mut models = Models::default();
        models.put("m", about(1, 10), Arc::new(1_u8));
        let (pinned, before) = (models.clone(), models.bytes());
        models.put("m", about(2, 110), Arc::new(2_u8));
        assert_eq!(pinned.get::<u8>("m"), Some((&1, 1)));
        assert_eq!(models.get::<u8>("m"), Some((&2, 2)));
        assert_eq!(models.get::<u16>("m"), None, "of another type");
        assert_eq!(models.bytes(), before + 100);
        models.remove("m");
        assert_eq!((models.about("m"), models.bytes()), (None, 0));
    }

    #[test]
    fn the_registry_compiles_and_refuses() {
        assert!(compile("nobody's", &[]).is_err_and(|reason| reason.contains("no analysis")));
        compile(crate::analysis::churn::MODEL, b"no model").expect_err("its analysis refuses it");
    }
}
