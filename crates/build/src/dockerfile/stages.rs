//! Stages: what stands before the first FROM, and each FROM with what follows it.

use std::collections::BTreeMap;

use domain::{Error, Result};

use super::{
    instruction::{Command, Instruction, parse},
    lines,
};

/// The classic builder counts every layer; images of more than 128 are refused, so that more steps help nobody.
const STEPS_MAX: usize = 10_000;

#[derive(Debug, Clone, PartialEq)]
pub struct Dockerfile {
    /// `ARG` before the first `FROM`.
    pub globals: Vec<Instruction>,
    pub stages: Vec<Stage>,
    pub escape: char,
    pub warnings: Vec<String>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Stage {
    /// The `FROM`.
    pub from: Instruction,
    pub image: String,
    pub name: Option<String>,
    pub platform: Option<String>,
    pub steps: Vec<Instruction>,
}

impl Dockerfile {
    /// `Invalid` in dockerd's words.
    pub fn parse(text: &str) -> Result<Self> {
        let lines = lines::split(text).map_err(|fault| fault.at(0))?;
        let mut file = Self { globals: Vec::new(), stages: Vec::new(), escape: lines.escape, warnings: lines.warnings };
        for line in &lines.lines {
            let instruction = parse(line, lines.escape).map_err(|fault| fault.at(line.number))?;
            file.add(instruction)?;
        }
        if file.stages.is_empty() {
            return Err(Error::invalid("no build stage in current context"));
        }
        if file.steps() > STEPS_MAX {
            return Err(Error::invalid(format!("the Dockerfile has more than {STEPS_MAX} steps (policy B02)")));
        }
        Ok(file)
    }

    fn add(&mut self, instruction: Instruction) -> Result<()> {
        match (&instruction.command, self.stages.last_mut()) {
            (Command::From { image, name, platform }, _) => {
                let (image, name, platform) = (image.clone(), name.clone(), platform.clone());
                self.stages.push(Stage { from: instruction, image, name, platform, steps: Vec::new() });
            }
            (_, Some(stage)) => stage.steps.push(instruction),
            (Command::Arg(_), None) => self.globals.push(instruction),
            (_, None) => return Err(Error::invalid("no build stage in current context")),
        }
        Ok(())
    }

    /// Drops the stages behind `target`; the name counts whatever its case, as does the number.
    pub fn until(&mut self, target: &str) -> Result<()> {
        let by_name =
            self.stages.iter().position(|s| s.name.as_deref().is_some_and(|n| n.eq_ignore_ascii_case(target)));
        let by_number = || target.parse::<usize>().ok().filter(|n| *n < self.stages.len());
        let missing = || Error::invalid(format!("target stage {target:?} could not be found"));
        let at = by_name.or_else(by_number).ok_or_else(missing)?;
        self.stages.truncate(at + 1);
        Ok(())
    }

    /// `--label`: a step of its own for each, at the end of the last stage.
    pub fn label(&mut self, labels: &BTreeMap<String, String>) {
        let Some(last) = self.stages.last_mut() else { return };
        last.steps.extend(labels.iter().map(|(key, value)| Instruction {
            text: format!("LABEL {key}={value}"),
            line: 0,
            command: Command::Label { pairs: vec![(key.clone(), value.clone())], literal: true },
        }));
    }

    /// As `Step 1/n` counts.
    pub fn steps(&self) -> usize {
        self.globals.len() + self.stages.iter().map(|s| s.steps.len() + 1).sum::<usize>()
    }
}

#[cfg(test)]
mod tests {
    use super::{super::instruction::Program, *};

    #[test]
    fn stages_and_targets() {
        let text =
            "ARG V=1\nFROM a:$V AS Base\nRUN x\nFROM base\nCOPY --from=base /x /\nFROM --platform=linux/amd64 c\n";
        let mut file = Dockerfile::parse(text).expect("parsed");
        assert_eq!((file.globals.len(), file.stages.len(), file.steps()), (1, 3, 6));
        assert_eq!(file.stages[0].name.as_deref(), Some("base"));
        assert_eq!(file.stages[2].platform.as_deref(), Some("linux/amd64"));
        file.until("BASE").expect("target");
        file.label(&BTreeMap::from([("a".to_owned(), "b c".to_owned())]));
        assert_eq!(file.stages[0].steps.last().expect("label").text, "LABEL a=b c");
        assert!(
            file.until("zz").expect_err("no target").to_string().contains("target stage \"zz\" could not be found")
        );
    }

    #[test]
    fn errors_are_dockerds() {
        for (text, wanted) in [
            ("FROM a\nFOO x", "dockerfile parse error on line 2: unknown instruction: FOO (did you mean FROM?)"),
            ("FROM a\nBOGUS x", "dockerfile parse error on line 2: unknown instruction: BOGUS"),
            ("RUN x", "no build stage in current context"),
            ("FROM", "dockerfile parse error on line 1: FROM requires either one or three arguments"),
            ("FROM a b c", "dockerfile parse error on line 1: FROM requires either one or three arguments"),
            (
                "FROM a AS 1a",
                "dockerfile parse error on line 1: invalid name for build stage: \"1a\", name can't start with a number \
                 or contain symbols",
            ),
            ("FROM a\nUSER", "dockerfile parse error on line 2: USER requires exactly one argument"),
            (
                "FROM a\nCOPY x",
                "dockerfile parse error on line 2: COPY requires at least two arguments, but only one was provided. \
                 Destination could not be determined",
            ),
            ("FROM a\nENV a", "failed to parse Dockerfile: ENV must have two arguments"),
            ("FROM a\nENV", "dockerfile parse error on line 2: ENV requires at least one argument"),
            ("FROM a\nARG", "dockerfile parse error on line 2: ARG requires at least one argument"),
            ("FROM a\nRUN --bogus=1 x", "dockerfile parse error on line 2: unknown flag: bogus"),
            ("FROM a\nENV --x=1 a=b", "dockerfile parse error on line 2: unknown flag: x"),
            (
                "FROM a\nCOPY --chown=1 --chown=2 a b",
                "dockerfile parse error on line 2: duplicate flag specified: chown",
            ),
            ("FROM a\nCOPY --chown a b", "dockerfile parse error on line 2: missing a value on flag: chown"),
            ("FROM a\nSHELL sh", "dockerfile parse error on line 2: SHELL requires the arguments to be in JSON form"),
            (
                "FROM a\n\nONBUILD ONBUILD RUN x",
                "dockerfile parse error on line 3: Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed",
            ),
            ("FROM a\nONBUILD FROM x", "dockerfile parse error on line 2: FROM isn't allowed as an ONBUILD trigger"),
            ("FROM a\nVOLUME [\"\"]", "dockerfile parse error on line 2: VOLUME specified can not be an empty string"),
            (
                "FROM a\nHEALTHCHECK FOO",
                "dockerfile parse error on line 2: Unknown type \"FOO\" in HEALTHCHECK (try CMD)",
            ),
            (
                "FROM a\nHEALTHCHECK --interval=x CMD y",
                "dockerfile parse error on line 2: time: invalid duration \"x\"",
            ),
            ("FROM a\nHEALTHCHECK CMD", "dockerfile parse error on line 2: Missing command after HEALTHCHECK CMD"),
            (
                "FROM a\nCMD [\"a\", 1]",
                "failed to parse Dockerfile: when using JSON array syntax, arrays must be comprised of strings only",
            ),
            (
                "FROM a\nRUN --network=host x",
                "dockerfile parse error on line 2: --network=host is not allowed (policy B10)",
            ),
        ] {
            assert_eq!(Dockerfile::parse(text).expect_err(text).to_string(), wanted, "{text}");
        }
    }

    #[test]
    fn programs_in_both_forms_and_scripts() {
        let file =
            Dockerfile::parse("FROM a\nRUN [\"x\",\"y\"]\nCMD [foo\nRUN <<E\nhi\nE\nRUN cat <<E\nhi\nE\n").expect("ok");
        let steps = &file.stages[0].steps;
        let Command::Run(run) = &steps[0].command else { panic!("{:?}", steps[0]) };
        assert_eq!(run.program, Program::Exec(vec!["x".to_owned(), "y".to_owned()]));
        assert_eq!(steps[1].command, Command::Cmd(Program::Shell("[foo".to_owned())));
        let script = |at: usize| match &steps[at].command {
            Command::Run(run) => run.script().map(|h| h.content.clone()),
            other => panic!("{other:?}"),
        };
        assert_eq!((script(2).as_deref(), script(3)), (Some("hi\n"), None));
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_the_parser_fail_otherwise(text in "(?s).{0,200}") {
            let _ = Dockerfile::parse(&text);
        }

        #[test]
        fn nor_does_what_looks_like_one(words in proptest::collection::vec(
            "(FROM|RUN|COPY|ENV|ARG|ONBUILD|HEALTHCHECK|<<E|--a=b|\\$\\{x:|\\\\|\n|\"|'|\\[| |E\n|#|=)", 0..60)) {
            let _ = Dockerfile::parse(&words.concat());
        }
    }
}
