//! The steps in their order: stages, output lines, the cache.
//!
//! Once a step was not found in the cache, no later one of its stage is looked up, as in dockerd: an old result further
//! down would belong to another parent anyway.

use std::time::{SystemTime, UNIX_EPOCH};

use domain::{Digest, Error, Layer, Result};
use serde_json::{Value, json};

use crate::{
    arguments::Arguments,
    dockerfile::{Command, Instruction, Stage, trigger},
    expand::{Variables, expand},
    hands::{Failure, Hands, Said},
    image::{Base, Image},
    plan::Prepared,
};

/// A stage that is done, for `FROM name` and `COPY --from`.
pub(crate) struct Done {
    pub(crate) name: Option<String>,
    pub(crate) base: Option<Base>,
}

/// A build under way.
pub(crate) struct Builder<'a, H: Hands> {
    pub(crate) hands: &'a H,
    pub(crate) prepared: &'a Prepared,
    pub(crate) arguments: Arguments,
    pub(crate) image: Image,
    pub(crate) done: Vec<Done>,
    /// Of `--cache-from`, as far as they are there.
    sources: Vec<Base>,
    /// A step of this stage was not in the cache.
    missed: bool,
    shown: usize,
    total: usize,
}

/// A step that has to be done.
pub(crate) struct Missed {
    parent: Option<Digest>,
    key: Digest,
    created_by: String,
}

/// The image's config document and layers. What fails has been said by nobody yet.
pub async fn build<H: Hands>(hands: &H, prepared: &Prepared) -> Result<Base, Failure> {
    let request = &prepared.request;
    let mut builder = Builder {
        hands,
        prepared,
        arguments: Arguments::new(request.arguments.clone()),
        image: Image::scratch(""),
        done: Vec::new(),
        sources: Vec::new(),
        missed: false,
        shown: 0,
        total: prepared.dockerfile.steps(),
    };
    for reference in &request.cache_from {
        // As in dockerd, an image that is not there is no source, and no error; it is not pulled either.
        if let Ok(base) = hands.present(reference).await {
            builder.sources.push(base);
        }
    }
    builder.run().await
}

impl<H: Hands> Builder<'_, H> {
    async fn run(&mut self) -> Result<Base, Failure> {
        for warning in &self.prepared.dockerfile.warnings {
            self.hands.say(Said::Err(format!("{warning}\n"))).await;
        }
        for global in &self.prepared.dockerfile.globals {
            self.announce(&global.text).await;
            self.global(global)?;
        }
        for stage in &self.prepared.dockerfile.stages {
            self.stage(stage).await?;
        }
        let unused = self.arguments.unused().join(" ");
        if !unused.is_empty() {
            self.out(format!("[Warning] One or more build-args [{unused}] were not consumed\n")).await;
        }
        let last = self.image.base.clone();
        last.ok_or_else(|| Error::invalid("No image was generated. Is your Dockerfile empty?").into())
    }

    fn global(&mut self, instruction: &Instruction) -> Result<()> {
        let Command::Arg(pairs) = &instruction.command else { return Ok(()) };
        for (name, default) in pairs {
            let default = default.as_ref().map(|text| self.expand_global(text)).transpose()?;
            self.arguments.declare_global(name, default);
        }
        Ok(())
    }

    async fn stage(&mut self, stage: &Stage) -> Result<(), Failure> {
        if let Some(name) = &stage.name
            && self.done.iter().any(|done| done.name.as_ref() == Some(name))
        {
            return Err(Error::invalid(format!("{name} stage name already used")).into());
        }
        self.announce(&stage.from.text).await;
        self.begin(stage).await?;
        self.triggers().await?;
        self.out(format!(" ---> {}\n", self.image.short_id())).await;
        for step in &stage.steps {
            self.announce(&step.text).await;
            self.dispatch(step).await?;
            self.out(format!(" ---> {}\n", self.image.short_id())).await;
        }
        if let Some(base) = &self.image.base {
            self.hands.say(Said::Id(base.id.clone())).await;
        }
        self.done.push(Done { name: stage.name.clone(), base: self.image.base.clone() });
        Ok(())
    }

    async fn begin(&mut self, stage: &Stage) -> Result<()> {
        self.arguments.start_stage();
        self.missed = false;
        let reference = self.expand_global(&stage.image)?;
        if reference.trim().is_empty() {
            return Err(Error::invalid(format!("base name ({}) should not be blank", stage.image)));
        }
        let platform = match &stage.platform {
            Some(text) => self.expand_global(text)?,
            None => self.prepared.request.platform.clone(),
        };
        if reference == "scratch" {
            self.image = Image::scratch(&images::Platform::parse(&platform)?.architecture);
            return Ok(());
        }
        let name = reference.to_ascii_lowercase();
        let earlier = self.done.iter().find(|done| done.name.as_deref() == Some(name.as_str()));
        self.image = match earlier {
            Some(Done { base: Some(base), .. }) => Image::from(base.clone())?,
            Some(Done { base: None, .. }) => Image::scratch(&images::Platform::parse(&platform)?.architecture),
            None => Image::from(self.hands.image(&reference, &platform, self.prepared.request.pull).await?)?,
        };
        Ok(())
    }

    /// What the image wants to be done in every build from it.
    async fn triggers(&mut self) -> Result<(), Failure> {
        let triggers = self.image.list("OnBuild");
        self.image.set("OnBuild", Value::Null);
        if triggers.is_empty() {
            return Ok(());
        }
        let ending = if triggers.len() > 1 { "s" } else { "" };
        self.out(format!("# Executing {} build trigger{ending}\n", triggers.len())).await;
        for text in &triggers {
            let instruction = trigger(text)?;
            if matches!(instruction.command, Command::Onbuild(_) | Command::From { .. }) {
                return Err(Error::invalid(format!("{text:?} isn't allowed as an ONBUILD trigger")).into());
            }
            self.dispatch(&instruction).await?;
        }
        Ok(())
    }

    /// None: an equal step was done before, and the image is its result now. Else the step is to be done, and kept.
    pub(crate) async fn reuse(&mut self, created_by: String, facts: Value) -> Result<Option<Missed>> {
        let parent = self.image.base.as_ref().map(|base| base.id.clone());
        let key = self.key(&created_by, &facts)?;
        let Some(found) = self.probe(parent.as_ref(), &key, &created_by).await? else {
            return Ok(Some(Missed { parent, key, created_by }));
        };
        self.out(" ---> Using cache\n".to_owned()).await;
        let command_set = self.image.command_set;
        self.image = Image::from(found)?;
        self.image.command_set = command_set;
        Ok(None)
    }

    /// The step is done; `layer` is what it changed.
    pub(crate) async fn keep(&mut self, missed: Missed, layer: Option<Layer>) -> Result<(), Failure> {
        let step = self.image.step(&missed.created_by, layer)?;
        self.hands.remember(missed.parent.as_ref(), &missed.key, &step, &missed.created_by).await?;
        Ok(())
    }

    /// All that decides a step's result, besides its parent.
    fn key(&self, created_by: &str, facts: &Value) -> Result<Digest> {
        let all = json!([created_by, facts, self.image.config]);
        serde_json::to_vec(&all).map(|bytes| Digest::of(&bytes)).map_err(|e| Error::because("a cache key", e))
    }

    async fn probe(&mut self, parent: Option<&Digest>, key: &Digest, created_by: &str) -> Result<Option<Base>> {
        if self.prepared.request.no_cache || self.missed {
            return Ok(None);
        }
        let found = match self.prepared.request.cache_from.is_empty() {
            true => self.hands.cached(parent, key).await?,
            false => self.step_of_sources(created_by)?,
        };
        self.missed = found.is_none();
        Ok(found)
    }

    /// The next step of an image that begins as ours does.
    fn step_of_sources(&self, created_by: &str) -> Result<Option<Base>> {
        for source in &self.sources {
            let other = Image::from(source.clone())?;
            let (ours, theirs) = (self.image.history(), other.history());
            let same =
                |a: &Value, b: &Value| a["created_by"] == b["created_by"] && a["empty_layer"] == b["empty_layer"];
            let begins_so = theirs.len() > ours.len() && ours.iter().zip(theirs).all(|(a, b)| same(a, b));
            if !begins_so
                || !begin_alike(&self.image.layers, &other.layers)
                || theirs[ours.len()]["created_by"] != created_by
            {
                continue;
            }
            let has_layer = theirs[ours.len()]["empty_layer"] != true;
            let layer = other.layers.get(self.image.layers.len()).filter(|_| has_layer).cloned();
            if has_layer && layer.is_none() {
                continue;
            }
            return self.image.clone().step(created_by, layer).map(Some);
        }
        Ok(None)
    }

    async fn announce(&mut self, text: &str) {
        self.shown += 1;
        self.out(format!("Step {}/{} : {text}", self.shown, self.total)).await;
        self.out("\n".to_owned()).await;
    }

    pub(crate) async fn out(&self, text: String) {
        self.hands.say(Said::Out(text)).await;
    }

    fn expand_global(&self, text: &str) -> Result<String> {
        struct Globals<'a>(&'a Arguments);
        impl Variables for Globals<'_> {
            fn value(&self, name: &str) -> Option<String> {
                self.0.global(name)
            }
        }
        expand(text, self.prepared.dockerfile.escape, &Globals(&self.arguments))
    }

    /// With the stage's environment and arguments.
    pub(crate) fn expand(&self, text: &str) -> Result<String> {
        expand(text, self.prepared.dockerfile.escape, &self.variables())
    }

    pub(crate) fn expand_all(&self, words: &[String]) -> Result<Vec<String>> {
        words.iter().map(|word| self.expand(word)).collect()
    }

    pub(crate) fn variables(&self) -> Stages<'_> {
        Stages::of(&self.image, &self.arguments)
    }
}

/// The environment goes before arguments.
pub(crate) struct Stages<'a> {
    env: Vec<String>,
    arguments: &'a Arguments,
}

impl<'a> Stages<'a> {
    pub(crate) fn of(image: &Image, arguments: &'a Arguments) -> Self {
        Self { env: image.env(), arguments }
    }
}

impl Variables for Stages<'_> {
    fn value(&self, name: &str) -> Option<String> {
        let pair = self.env.iter().filter_map(|pair| pair.split_once('=')).find(|(key, _)| *key == name);
        pair.map(|(_, value)| value.to_owned()).or_else(|| self.arguments.seen(name))
    }
}

/// By what they hold: a layer that was pulled and the same one that was loaded may be stored in different forms.
fn begin_alike(ours: &[Layer], theirs: &[Layer]) -> bool {
    theirs.len() >= ours.len() && ours.iter().zip(theirs).all(|(a, b)| a.diff_id == b.diff_id)
}

pub(crate) fn now_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_are_compared_by_what_they_hold() {
        let layer = |stored: &str, plain: &str| Layer {
            digest: Digest::of(stored.as_bytes()),
            diff_id: Digest::of(plain.as_bytes()),
            size_bytes: 1,
            media_type: String::new(),
        };
        let ours = [layer("a, compressed", "a")];
        assert!(begin_alike(&ours, &[layer("a", "a"), layer("b", "b")]));
        assert!(begin_alike(&[], &ours));
        assert!(!begin_alike(&ours, &[layer("b", "b"), layer("a", "a")]));
        assert!(!begin_alike(&ours, &[]));
    }
}
