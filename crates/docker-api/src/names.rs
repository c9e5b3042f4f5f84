//! Names for containers whose client gave none: `adjective_surname`, as Docker makes them, with word lists of our own.

use rand::seq::IteratorRandom;

const ADJECTIVES: &str = "\
    able ample anchored apt ardent balanced blithe bold brave breezy bright brisk buoyant calm candid careful \
    cheery civil clear coastal cordial crisp curious dapper deft dry eager earnest even exact fair faithful fleet \
    fluent frank fresh gallant genial gentle glad golden grand handy hardy hearty honest humble jolly jovial just \
    keen kind lasting lively loyal lucid lucky mellow merry mild modest moored neat nimble noble novel open \
    patient placid plain plucky polite prompt proud prudent quick quiet ready robust rugged salty sane seaworthy \
    serene sharp silent sleek smooth snug sober solid sound spry stable staunch steady stout sturdy subtle sunny \
    sure swift tidal tidy trim true trusty upbeat upright useful valiant vivid warm watchful wise witty zesty";

/// Of people who charted, built, measured or explained something.
const SURNAMES: &str = "\
    abel amundsen anning arago babbage baffin banneker barents beaufort bell bering bernoulli bessel bowditch \
    boyle brahe brunel byrd cabot cauchy cavendish chapman clarke cook cooper copley cousteau crozier dampier \
    darby davis davy dias drake eads eiffel ericson eudoxus faraday flinders foucault fourier franklin frobisher \
    fulton galton gama gauss gilbert grace hadley halley harrison henson herschel hipparchus hooke hudson humboldt \
    huygens ibnmajid johnson kelvin kepler kirch lagrange laplace leavitt lind lindbergh lovelace magellan marconi \
    maury maxwell mayer mcclintock mclean mercator mitchell mudge nansen napier newcomen noether ohm ortelius \
    papin parry parsons pascal peary piccard polo ptolemy raleigh rennie rickover ross scoresby shackleton slocum \
    smeaton somerville stevenson stevin swallow tasman telford tharp torricelli vancouver vespucci volta watt \
    weddell wegener wilkes yonge zheng";

/// One of some 14,000. Not unique: on a conflict ask again, or use [`random_numbered`].
pub fn random() -> String {
    format!("{}_{}", pick(ADJECTIVES), pick(SURNAMES))
}

/// With a number behind, for a tenant who has most of the plain ones.
pub fn random_numbered() -> String {
    format!("{}{}", random(), rand::random_range(0..100_000))
}

fn pick(words: &'static str) -> &'static str {
    words.split_whitespace().choose(&mut rand::rng()).unwrap_or("some")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_legal_and_lists_have_no_duplicates() {
        for words in [ADJECTIVES, SURNAMES] {
            let words: Vec<_> = words.split_whitespace().collect();
            assert!(words.len() > 100 && words.iter().all(|w| w.bytes().all(|b| b.is_ascii_lowercase())));
            assert!(words.windows(2).all(|w| w[0] < w[1]), "sorted, each once");
        }
        assert_eq!(random().split('_').count(), 2);
    }
}
