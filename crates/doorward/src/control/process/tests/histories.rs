//! What holds whatever happens: random histories in the made-up world, each from its seed.

use std::time::Duration;

use super::super::failure::Failure;
use super::super::news::StateName;
use super::world::{Living, World, service};

/// Random deaths, hangs and changes; whatever happened, it ends as it is wanted.
#[test]
fn any_history_ends_as_wanted() {
    for seed in 1..100_u64 {
        let mut random = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mut roll = |sides: u64| {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            random % sides
        };
        let commands = ["good", "slow", "crash", "never", "deaf", "missing", "other"];
        let mut world = World::default();
        for _ in 0..30 {
            world.pass(world.now + Duration::from_millis(roll(20_000)));
            let pids: Vec<u32> = world.processes.keys().copied().collect();
            let pid = pids.get(roll(8) as usize).copied();
            match (roll(4), pid) {
                (0, Some(pid)) => world.die(pid, Failure::Exited { status: 3 }),
                (1, Some(pid)) => {
                    let process = world.processes.get_mut(&pid).expect("it lives");
                    process.hangs = !process.hangs;
                }
                _ => {
                    let command = commands[roll(7) as usize];
                    let count = roll(4);
                    let all = ["a*2=good".to_owned(), format!("b*{count}={command}")];
                    let first = roll(5).min(1) as usize ^ 1;
                    world.apply(all[first..].iter().map(|text| service(text)).collect());
                }
            }
        }
        for process in world.processes.values_mut() {
            process.hangs = false;
        }
        world.apply(vec![service("a*2=other"), service("b*3=good")]);
        world.pass(world.now + Duration::from_secs(400));
        let status = world.fleet.status(Duration::ZERO);
        let settled = status.iter().all(|one| one.state == StateName::Ready);
        assert!(status.len() == 5 && settled, "seed {seed}: {status:#?}\n{}", world.story);
        assert_eq!(world.processes.len(), 5, "seed {seed}\n{}", world.story);
        let sound = |process: &Living| {
            let command = if process.name == "a" { "other" } else { "good" };
            process.command == command
        };
        assert!(world.processes.values().all(sound), "seed {seed}\n{}", world.story);
        world.stop();
        world.pass(world.now + Duration::from_secs(30));
        assert!(world.processes.is_empty() && world.fleet.is_stopped(), "seed {seed}");
    }
}

/// Changes of a command that works never leave a service without a ready instance.
#[test]
fn rollouts_never_leave_a_service_empty() {
    for seed in 0..200_u64 {
        let commands = ["good", "slow", "other", "crash", "never", "missing", "deaf"];
        let mut world = World::default();
        world.apply(vec![service("shop*2=good")]);
        world.pass(Duration::from_secs(1));
        let begin = world.story.len();
        let mut number = seed;
        for _ in 0..6 {
            let command = commands[(number % 7) as usize];
            number = number.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1) >> 3;
            world.apply(vec![service(&format!("shop*{}={command}", 1 + number % 3))]);
            world.pass(world.now + Duration::from_millis(number % 60_000));
        }
        let story = &world.story[begin..];
        assert!(!story.contains("publish []"), "seed {seed}\n{story}");
    }
}
