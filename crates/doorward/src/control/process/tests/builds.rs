//! Build commands, run for real.

use super::super::journal::Stream;
use super::super::*;
use super::door::{Scratch, ended, run};

fn build(service: &str, command: &str, directory: &Scratch) -> BuildSpec {
    BuildSpec {
        service: service.into(),
        command: super::command(command),
        environment: [("WHAT".to_owned(), "it".to_owned())].into(),
        directory: directory.0.clone(),
    }
}

#[test]
fn builds_run_once_each_in_their_directory_until_one_fails() {
    run(async {
        let scratch = Scratch::new("build");
        let (sink, mut entries) = journal();
        let shared = "sh -c 'echo built $WHAT; echo run >> runs; echo careful >&2'";
        let mut builds = vec![
            build("shop", shared, &scratch),
            build("blog", shared, &scratch),
            build("blog", "sh -c 'echo wrong; exit 3'", &scratch),
            build("blog", "touch never", &scratch),
        ];
        let failure = run_builds(&builds, &sink).await.expect_err("the third fails");
        assert_eq!(
            failure.to_string(),
            "the build of `blog` failed: `sh -c 'echo wrong; exit 3'` exited with status 3\n    wrong"
        );
        let runs = std::fs::read_to_string(scratch.0.join("runs")).expect("it ran");
        assert_eq!(runs, "run\n");
        assert!(!scratch.0.join("never").exists());
        let said: Vec<_> = std::iter::from_fn(|| entries.take()).map(|entry| entry.said).collect();
        for (stream, text) in [(Stream::Stdout, "built it"), (Stream::Stderr, "careful")] {
            let text = text.to_owned();
            assert!(said.contains(&Said::Line { stream, text }), "{said:?}");
        }
        builds.truncate(1);
        builds[0].command = super::command("no-such-compiler");
        let failure = run_builds(&builds, &sink).await.expect_err("there is none");
        assert!(failure.to_string().contains("command not found"), "{failure}");
    });
}

#[test]
fn a_build_that_is_dropped_is_killed() {
    run(async {
        let scratch = Scratch::new("dropped-build");
        let (sink, mut entries) = journal();
        let builds = [build("shop", "sh -c 'echo $$; sleep 600; true'", &scratch)];
        let pid = async {
            loop {
                if let Said::Line { text, .. } = entries.next().await.said {
                    break text.parse().expect("a pid");
                }
            }
        };
        let pid = tokio::select! {
            pid = pid => pid,
            result = run_builds(&builds, &sink) => panic!("{result:?}"),
        };
        ended(pid).await;
    });
}
