//! Apps on one store start, stop, die and freeze, operators interfere, and calls and handlers fail, as a seed wills.

mod apps;
mod consuming;
mod discarding;
mod following;
mod handling;
mod issuing;
mod operating;
mod projecting;
mod resting;
mod scheduling;
mod steps;
mod waiting;
mod world;

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::{FutureExt, StreamExt, stream};

use self::steps::Step;
use self::world::World;
use super::super::SubscriptionFixture;
use super::super::support::Random;

/// How many cases there are if nothing else is said.
const CASES: u64 = 8;

/// How many of them run at once.
const AT_ONCE: usize = 4;

/// How many steps a case has.
const STEPS: u64 = 60;

/// How long a case may take.
const PATIENCE: Duration = Duration::from_secs(55);

/// From which seed on cases are drawn.
const SEED: &str = "ORDAIN_CHAOS_SEED";

/// How many seconds long cases are begun, in place of a few.
const SECONDS: &str = "ORDAIN_CHAOS_SECONDS";

/// Whatever happens, every event is handled in order, projections are exact, and commands take effect once.
///
/// `ORDAIN_CHAOS_SEED` says from which seed on cases are drawn, and `ORDAIN_CHAOS_SECONDS` for how long.
pub async fn promises_are_kept_whatever_happens<F>(fixture: &Arc<F>)
where
    F: SubscriptionFixture + Send + Sync + 'static,
{
    let first = number(SEED).unwrap_or_default();
    let until = number(SECONDS).map(|seconds| Instant::now() + Duration::from_secs(seconds));
    let seeds = (first..).take_while(|seed| match until {
        Some(until) => Instant::now() < until,
        None => *seed < first + CASES,
    });
    // One after the other: a fixture makes its read model for all of them.
    let worlds = stream::iter(seeds).then(|seed| World::open(fixture, seed));
    let cases = worlds.map(plays);
    let problems: Vec<_> = cases.buffer_unordered(AT_ONCE).collect().await;
    let played = problems.len();
    if until.is_some() {
        tell_count(played);
    }
    let problems: Vec<_> = problems.into_iter().flatten().collect();
    assert!(
        problems.is_empty(),
        "{} of {played} cases failed\n{}",
        problems.len(),
        problems.join("\n")
    );
}

#[allow(
    clippy::print_stderr,
    reason = "who plays cases for so long wants to know how many there were"
)]
fn tell_count(played: usize) {
    eprintln!("{played} cases were played");
}

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    let number = text.parse();
    Some(number.unwrap_or_else(|_| panic!("{variable} must be a number, not `{text}`")))
}

/// Plays a case, and tells what is wrong with it.
async fn plays<F>(world: World<F>) -> Option<String>
where
    F: SubscriptionFixture + Send + Sync + 'static,
{
    let mut taken = Vec::new();
    let seed = world.seed;
    let played = tokio::time::timeout(PATIENCE, play(world, &mut taken));
    let played = AssertUnwindSafe(played).catch_unwind().await;
    let problem = match played {
        Ok(Ok(())) => return None,
        Ok(Err(_)) => Box::new(format!("not over within {PATIENCE:?}")),
        Err(problem) => problem,
    };
    let steps: String = taken.iter().map(|step| format!("\n  {step:?}")).collect();
    Some(format!(
        "seed {seed}: {}\nafter:{steps}",
        text_of(&*problem)
    ))
}

async fn play<F: SubscriptionFixture + Send + Sync + 'static>(
    mut world: World<F>,
    taken: &mut Vec<Step>,
) {
    let mut random = Random::new(world.seed);
    // Whom operators tell something is there from the beginning.
    let begin = (0..2).map(|slot| Step::Start { slot, version: 1 });
    for step in begin {
        world.take(step).await;
    }
    for _ in 0..random.below(STEPS) {
        let step = Step::random(&mut random);
        taken.push(step);
        world.take(step).await;
        world.note_answers();
    }
    world.come_to_rest().await;
    world.check().await;
}

fn text_of(problem: &(dyn Any + Send)) -> &str {
    let text = problem.downcast_ref::<String>().map(String::as_str);
    let literal = || problem.downcast_ref::<&str>().copied();
    text.or_else(literal).unwrap_or("a panic without a text")
}
