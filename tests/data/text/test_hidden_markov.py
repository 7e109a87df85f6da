import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pretrain_lib.evaluation.counting import TwoSidedBigram, Unigram, WithOwnToken, token_counts
from pretrain_lib.data.keys import Keys
from pretrain_lib.data.text.hidden_markov import (
    SPECIAL,
    HiddenMarkovLanguage,
    HiddenMarkovModel,
    stationary,
)
from pretrain_lib.evaluation.bayes import BayesOptimal, bayes_loss

MASKED = (1.0, 0.0, 0.0)
BERT = (0.8, 0.1, 0.1)
MASK = SPECIAL.mask
K, W, T = 2, 3, 4  # states, words, tokens: small enough to enumerate everything
V = W + len(SPECIAL)


def random_model(seed: int, states: int = K, words: int = W) -> HiddenMarkovModel:
    generator = torch.Generator().manual_seed(seed)

    def rows(*shape):
        return (2 * torch.randn(*shape, dtype=torch.double, generator=generator)).softmax(1)

    transition = rows(states, states)
    emission = torch.cat([torch.zeros(states, len(SPECIAL)).double(), rows(states, words)], dim=1)
    return HiddenMarkovModel(stationary(transition), transition, emission)


def small_language(seed: int) -> HiddenMarkovLanguage:
    return HiddenMarkovLanguage(length=T, model=random_model(seed))


def probability_of_sentence(model: HiddenMarkovModel, sentence) -> float:
    """The sum over every path of states."""
    initial, transition, emission = (table.tolist() for table in model)
    total = 0.0
    for path in itertools.product(range(K), repeat=T):
        p = initial[path[0]] * emission[path[0]][sentence[0]]
        for t in range(1, T):
            p *= transition[path[t - 1]][path[t]] * emission[path[t]][sentence[t]]
        total += p
    return total


def probability_shown(shown: int, true: int, replace) -> float:
    """What becomes of a chosen token, by cases."""
    masked, random, kept = replace
    p = random / V
    if shown == MASK:
        p += masked
    if shown == true:
        p += kept
    return p


def enumerated(model, shown, i: int, rate: float, replace) -> torch.Tensor:
    """P(token at i | what is shown, i was chosen): over every sentence and every set of chosen."""
    weights = [0.0] * V
    for sentence in itertools.product(range(len(SPECIAL), V), repeat=T):
        p_sentence = probability_of_sentence(model, sentence)
        for chosen in itertools.product([False, True], repeat=T):
            if not chosen[i]:
                continue
            p = p_sentence
            for t in range(T):
                if chosen[t]:
                    p *= rate * probability_shown(shown[t], sentence[t], replace)
                else:
                    p *= (1 - rate) * (shown[t] == sentence[t])
            weights[sentence[i]] += p
    weights = torch.tensor(weights, dtype=torch.double)
    return weights / weights.sum()


def corrupt(input_ids, rate, replace, seed=0):
    """Each token chosen and corrupted independently of all others; labels -100 where not chosen."""
    generator = torch.Generator().manual_seed(seed)
    chosen = torch.rand(input_ids.shape, generator=generator) < rate
    fate = torch.rand(input_ids.shape, generator=generator)
    vocab_size = int(input_ids.max()) + 1
    random = torch.randint(vocab_size, input_ids.shape, generator=generator)
    other = torch.where(fate < 1 - replace[2], random, input_ids)
    other = torch.where(fate < replace[0], MASK, other)
    return torch.where(chosen, other, input_ids), input_ids.masked_fill(~chosen, -100)


def surprises(model, shown, labels) -> torch.Tensor:
    used = labels != -100
    return -model(shown).double().log_softmax(-1)[used].gather(1, labels[used][:, None])[:, 0]


class TestBayesOptimal:
    @given(st.integers(0, 1000), st.lists(st.integers(0, V - 1), min_size=T, max_size=T),
           st.integers(0, T - 1), st.floats(0.05, 0.6),
           st.sampled_from([BERT, (0.3, 0.6, 0.1), (0.5, 0.5, 0.0)]))
    @settings(max_examples=12, deadline=None)
    def test_equals_enumeration_through_the_channel(self, seed, shown, i, rate, replace):
        language = small_language(seed)
        logits = BayesOptimal(language, rate, replace)(torch.tensor([shown]))[0, i]
        expected = enumerated(language.model, shown, i, rate, replace)
        torch.testing.assert_close(logits.exp(), expected, atol=1e-10, rtol=0)

    @given(st.integers(0, 1000), st.lists(st.integers(4, V - 1), min_size=T, max_size=T),
           st.integers(0, T - 1))
    @settings(max_examples=12, deadline=None)
    def test_equals_enumeration_when_all_chosen_are_masked(self, seed, shown, i):
        shown[i] = MASK
        language = small_language(seed)
        logits = BayesOptimal(language)(torch.tensor([shown]), positions=torch.tensor([[i]]))[0, 0]
        expected = enumerated(language.model, shown, i, 0.3, MASKED)
        torch.testing.assert_close(logits.exp(), expected, atol=1e-10, rtol=0)

    def test_equals_enumeration_when_chosen_tokens_may_stay(self):
        language, shown = small_language(3), [5, MASK, 6, 5]
        p = BayesOptimal(language, 0.3, (0.7, 0.0, 0.3))(torch.tensor([shown]))[0].exp()
        for i in range(T):
            expected = enumerated(language.model, shown, i, 0.3, (0.7, 0.0, 0.3))
            torch.testing.assert_close(p[i], expected, atol=1e-10, rtol=0)

    @pytest.mark.parametrize("replace", [MASKED, BERT])
    def test_the_posterior_sums_to_one_in_sentences_of_any_length(self, replace):
        language = HiddenMarkovLanguage(length=3000)
        shown, _ = corrupt(language.take(Keys.of(0, 1))["input_ids"], 0.15, replace)
        p = BayesOptimal(language, 0.15, replace)(shown).exp()
        torch.testing.assert_close(p.sum(-1), torch.ones(1, 3000).double(), atol=1e-10, rtol=0)

    def test_special_tokens_around_a_sentence_change_nothing(self):
        language = HiddenMarkovLanguage(length=12)
        shown, _ = corrupt(language.take(Keys.of(0, 3))["input_ids"], 0.2, BERT)
        wrapped = torch.nn.functional.pad(shown, (1, 4), value=SPECIAL.pad)
        wrapped[:, 0], wrapped[:, 13] = SPECIAL.cls, SPECIAL.sep
        model = BayesOptimal(language, 0.2, BERT)
        torch.testing.assert_close(model(wrapped)[:, 1:13], model(shown), atol=1e-9, rtol=1e-9)

    @pytest.mark.parametrize("replace", [MASKED, BERT])
    def test_its_loss_is_the_entropy_that_it_states(self, replace):
        language = HiddenMarkovLanguage()
        ids = language.take(Keys.of(1, 600))["input_ids"]
        shown, labels = corrupt(ids, 0.15, replace)
        model = BayesOptimal(language, 0.15, replace)
        p = model(shown)[labels != -100].exp()
        excess = surprises(model, shown, labels) - torch.special.entr(p).sum(-1)
        assert len(excess) > 5000
        assert abs(excess.mean()) < 4 * excess.std() / math.sqrt(len(excess))

    @pytest.mark.parametrize("replace", [MASKED, BERT])
    def test_no_other_predictor_is_better(self, replace):
        language = HiddenMarkovLanguage(seed=2)
        counted = language.take(Keys.of(5, 2000))["input_ids"].numpy()
        shown, labels = corrupt(language.held_out(400).take(Keys.of(1, 400))["input_ids"], 0.15,
                                replace)
        best = surprises(BayesOptimal(language, 0.15, replace), shown, labels)
        unigram = Unigram(token_counts(counted, language.vocab_size))
        bigram = TwoSidedBigram(counted, language.vocab_size, SPECIAL)
        for rival in (unigram, bigram, WithOwnToken(unigram, MASK, replace),
                      WithOwnToken(bigram, MASK, replace)):
            worse = surprises(rival, shown, labels) - best
            assert worse.mean() > 5 * worse.std() / math.sqrt(len(worse))

    @pytest.mark.parametrize("told", [(0.001, BERT), (0.6, BERT), (0.15, (0.8, 0.19, 0.01))])
    def test_told_other_shares_it_is_not_better(self, told):
        language = HiddenMarkovLanguage(seed=2)
        shown, labels = corrupt(language.take(Keys.of(1, 400))["input_ids"], 0.15, BERT)
        worse = (surprises(BayesOptimal(language, *told), shown, labels)
                 - surprises(BayesOptimal(language, 0.15, BERT), shown, labels))
        assert worse.mean() > 2 * worse.std() / math.sqrt(len(worse))

    def test_bad_settings_are_told(self):
        language = small_language(0)
        with pytest.raises(ValueError, match="rate must be at least 0 and below 1, got 1.5"):
            BayesOptimal(language, 1.5)
        with pytest.raises(ValueError, match="three shares that sum to 1"):
            BayesOptimal(language, 0.15, (0.8, 0.1, 0.2))

    def test_an_impossible_sentence_is_told(self):
        model = random_model(0)
        emission = torch.eye(2, dtype=torch.double)  # state 0 says 5, state 1 says 6, never 7
        emission = torch.nn.functional.pad(emission, (len(SPECIAL), 1))
        language = HiddenMarkovLanguage(model=model._replace(emission=emission))
        with pytest.raises(ValueError, match="probability 0 in this language"):
            BayesOptimal(language)(torch.tensor([[5, 7, 6]]))


class TestBayesLoss:
    def test_is_the_mean_surprise_at_the_chosen_positions(self):
        language = small_language(0)
        ids = torch.tensor([[MASK, 5, MASK, 6], [5, MASK, 7, 7]])
        positions, labels = torch.tensor([[0, 2], [1, 0]]), torch.tensor([[5, 7], [6, -100]])
        expected = [enumerated(language.model, ids[b].tolist(), i, 0.3, MASKED)[label]
                    for b, i, label in [(0, 0, 5), (0, 2, 7), (1, 1, 6)]]
        mean = -sum(map(math.log, expected)) / 3
        assert bayes_loss(language, ids, positions, labels) == pytest.approx(mean, abs=1e-10)

    def test_other_masking_than_told_is_refused(self):
        language, first = small_language(0), torch.tensor([[0]])
        with pytest.raises(ValueError, match="give the rate and the shares"):
            bayes_loss(language, torch.tensor([[5, 6, 7, 7]]), first, torch.tensor([[5]]))
        with pytest.raises(ValueError, match="no position was chosen"):
            bayes_loss(language, torch.tensor([[5, 6, 7, 7]]), first, torch.tensor([[-100]]))

    @pytest.mark.parametrize("seed", [11, 12, 13])
    def test_lies_one_nat_below_counting(self, seed):
        language = HiddenMarkovLanguage(seed=seed)
        counted = language.take(Keys.of(0, 6000))["input_ids"].numpy()
        shown, labels = corrupt(language.held_out(500).take(Keys.of(0, 500))["input_ids"], 0.15,
                                MASKED)
        losses = [surprises(model, shown, labels).mean() for model in (
            Unigram(token_counts(counted, language.vocab_size)),
            TwoSidedBigram(counted, language.vocab_size, SPECIAL), BayesOptimal(language))]
        assert min(losses[:2]) - losses[2] >= 1.15


class TestHiddenMarkovLanguage:
    def test_sentences_are_a_function_of_their_keys(self):
        language = HiddenMarkovLanguage()
        ids = language.take(Keys.of(3, [9, 4, 7]))["input_ids"]
        assert ids.shape == (3, 64)
        assert torch.equal(language.take(Keys.of(3, [4]))["input_ids"], ids[1:2])
        for other in (Keys.of(3, [9, 4, 7], epoch=1), Keys.of(4, [9, 4, 7])):
            assert (language.take(other)["input_ids"] != ids).float().mean() > 0.5
        held_out = language.held_out(10)
        assert (len(held_out), len(language)) == (10, 100_000)
        assert (held_out.take(Keys.of(3, [9, 4, 7]))["input_ids"] != ids).float().mean() > 0.5

    def test_each_seed_is_another_language(self):
        one, same, other = (HiddenMarkovLanguage(seed=s).model for s in (1, 1, 2))
        assert torch.equal(one.transition, same.transition)
        assert torch.equal(one.emission, same.emission)
        torch.testing.assert_close(one.initial, same.initial, atol=1e-14, rtol=0)
        assert not torch.allclose(one.emission, other.emission)

    @pytest.mark.parametrize("seed", range(4))
    def test_is_a_stationary_hidden_markov_model(self, seed):
        model = HiddenMarkovLanguage(seed=seed).model
        torch.testing.assert_close(model.initial @ model.transition, model.initial,
                                   atol=1e-12, rtol=0)
        for table in (model.initial[None], model.transition, model.emission):
            assert (table >= 0).all()
            torch.testing.assert_close(table.sum(1), torch.ones(len(table)).double())
        assert (model.emission[:, :len(SPECIAL)] == 0).all()
        assert ((model.initial @ model.emission)[len(SPECIAL):] > 0).all()

    def test_sampling_follows_the_model(self):
        language = HiddenMarkovLanguage(model=random_model(5, states=3, words=4), length=20)
        keys = Keys.of(0, 20_000)
        states, ids = language.hidden_states(keys), language.take(keys)["input_ids"]
        model = language.model
        follows(states[:, 0], model.initial)
        follows(ids[:, -1], model.initial @ model.emission)
        for s in range(3):
            follows(states[:, 8][states[:, 7] == s], model.transition[s])
            follows(ids[:, 8][states[:, 8] == s], model.emission[s])

    def test_its_unigram_is_the_one_counted(self):
        language = HiddenMarkovLanguage()
        ids = language.take(Keys.of(0, 20_000))["input_ids"]
        follows(ids[:, 0], language.model.initial @ language.model.emission)
        follows(ids[:, 63], language.model.initial @ language.model.emission)

    @pytest.mark.parametrize(("arguments", "message"), [
        ({"states": 5}, "states must be an even number of at least 4, two a topic, got 5"),
        ({"states": 64, "vocab_size": 30}, "vocab_size must leave each of 32 topics"),
        ({"length": 0}, "got length 0"),
    ])
    def test_bad_settings_are_told(self, arguments, message):
        with pytest.raises(ValueError, match=message):
            HiddenMarkovLanguage(**arguments)

    def test_the_vocabulary_asked_for_in_the_error_is_enough(self):
        with pytest.raises(ValueError) as caught:
            HiddenMarkovLanguage(states=64, vocab_size=30)
        least = int(str(caught.value).split("at least ")[1].split(",")[0])
        HiddenMarkovLanguage(states=64, vocab_size=least)


def follows(outcomes: torch.Tensor, probability: torch.Tensor) -> None:
    """Frequencies lie within five standard errors of the probabilities."""
    found = torch.bincount(outcomes, minlength=len(probability)) / len(outcomes)
    error = (probability * (1 - probability) / len(outcomes)).sqrt()
    assert ((found - probability).abs() <= 5 * error + 1e-12).all()
