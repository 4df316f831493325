"""What is learned of a conversation: with templates of every trait that published ones have, and without any."""

import pytest
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from paring.policy.chat import (
    answer_text,
    answer_tokens,
    conversation_tokens,
    opened_text,
    prompt_tokens,
    prompts_tokens,
)
from paring.policy.loading import EMBEDDED
from paring.policy.rendering import closing_tokens
from paring.policy.templates import Template, set_template, template_names

MESSAGES = [{"role": "system", "content": "w1 w2"}, {"role": "user", "content": "w3"}]
USER, ANSWER = {"role": "user", "content": "How many?"}, {"role": "assistant", "content": "Just seven."}
AGAIN, LATER = {"role": "user", "content": "And now?"}, {"role": "assistant", "content": "Nine of them."}
THOUGHT, LATER_THOUGHT = {"reasoning_content": "I count."}, {"reasoning_content": "Two came."}
TOOL = {"type": "function", "function": {"name": "count_it", "parameters": {"type": "object", "properties": {}}}}
CALL = {"type": "function", "function": {"name": "count_it", "arguments": {"what": 'blue "sheep"', "n": 3}}}

GENERATION = "{% if add_generation_prompt %}<|a|>{% endif %}"
SIMPLE = "{% for m in messages %}<|{{ m.role[0] }}|>{{ m.content }}<|end|>{% endfor %}" + GENERATION
LINES = "{% for m in messages %}<|{{ m.role[0] }}|>{{ m.content }}<|end|>\n{% endfor %}" + GENERATION
# The last answer alone keeps its thought; the thought is parsed from the content, or is a field.
THINKING = """{%- for m in messages -%}
{%- set content = m.content -%}{%- set thought = m.reasoning_content or '' -%}
{%- if '</think>' in content -%}
{%- set thought = content.split('</think>')[0].split('<think>')[-1] -%}
{%- set content = content.split('</think>')[-1].lstrip() -%}
{%- endif -%}
{{- '<|' + m.role[0] + '|>' -}}
{%- if m.role == 'assistant' and loop.last -%}{{- '<think>\\n' + thought.strip() + '\\n</think>\\n\\n' -}}{%- endif -%}
{{- content + '<|end|>' -}}
{%- endfor -%}{%- if add_generation_prompt -%}{{- '<|a|>' + opening -}}{%- endif -%}"""
# No thought is ever written, but the prompt opens one.
DROPPING = """{%- for m in messages -%}
{{- '<|' + m.role[0] + '|>' + m.content.split('</think>')[-1].lstrip() + '<|end|>' -}}
{%- endfor -%}{%- if add_generation_prompt -%}{{- '<|a|><think>\\n' -}}{%- endif -%}"""
# Arguments that are objects, with JSON; a tool call ends in a token of its own.
CALLING = """{%- for tool in tools or [] -%}{{- tool.function.name + '\\n' -}}{%- endfor -%}
{%- for m in messages -%}{{- '<|' + m.role[0] + '|>' -}}
{%- if m.tool_calls -%}{%- for call in m.tool_calls -%}
{{- call.function.name + ' ' + (call.function.arguments | tojson) -}}{%- endfor -%}{{- '<|call|>' -}}
{%- else -%}{{- m.content + '<|end|>' -}}{%- endif -%}
{%- endfor -%}{%- if add_generation_prompt -%}{{- '<|a|>' -}}{%- endif -%}"""
# As DeepSeek's: arguments are a text that is put behind another.
TEXTUAL = CALLING.replace("(call.function.arguments | tojson)", "call.function.arguments")
NO_END = "{% for m in messages %}<|{{ m.role[0] }}|>{{ m.content }}{% endfor %}" + GENERATION
# As Phi-3's: another end where no answer is asked for.
FINAL_END = LINES.replace("{% endif %}", "{% else %}{{ eos_token }}{% endif %}")
SPECIAL = ["<|s|>", "<|u|>", "<|a|>", "<|t|>", "<|end|>", "<|call|>", "<|eos|>", "<think>", "</think>"]


@pytest.fixture
def templated(tokenizer):
    """A tokenizer of words with a template of its own."""

    def make(template: str) -> PreTrainedTokenizerFast:
        return PreTrainedTokenizerFast(
            tokenizer_object=tokenizer.backend_tokenizer, eos_token="w63", chat_template=template
        )

    return make


@pytest.fixture(scope="module")
def spelling():
    """A tokenizer of bytes, with special tokens, whose tokens give back every text."""

    def make(template: str | None, eos: str = "<|end|>") -> PreTrainedTokenizerFast:
        alphabet = {character: number for number, character in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
        alphabet["ĊĊ"] = len(alphabet)
        built = Tokenizer(models.BPE(vocab=alphabet, merges=[("Ċ", "Ċ")]))
        built.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
        built.decoder = decoders.ByteLevel()
        built.add_special_tokens([AddedToken(name, special=True, normalized=False) for name in SPECIAL])
        return PreTrainedTokenizerFast(tokenizer_object=built, eos_token=eos, chat_template=template)

    return make


def shown(tokenizer, examples):
    """Each example as text, what is learned between brackets."""
    texts = []
    for example in examples:
        text, before = "", False
        for token, is_learned in zip(example.tokens, example.learned, strict=True):
            text += ("[" if is_learned else "]") * (before != is_learned) + tokenizer.decode([token])
            before = is_learned
        texts.append(text + "]" * before)
    return texts


def learned(tokenizer, messages, **options):
    return shown(tokenizer, conversation_tokens(tokenizer, messages, **options))


def test_without_a_template_the_contents_are_plain_paragraphs(tokenizer):
    assert prompt_tokens(tokenizer, MESSAGES) == (1, 2, 3)


def test_a_template_decides_and_the_model_answers_after_it(templated):
    template = "{% for m in messages %}w10 {{ m.content }} {% endfor %}{% if add_generation_prompt %}w11{% endif %}"
    assert prompt_tokens(templated(template), MESSAGES) == (10, 1, 2, 10, 3, 11)


@pytest.mark.parametrize(
    "template",
    [
        "{{ raise_exception('System role not supported') }}",
        "{% if %}",
        "{{ messages[9].content.x }}",
        "{{ 1 + 'a' }}",
        "{{ 1 / 0 }}",
    ],
)
def test_a_template_that_refuses_is_a_user_error(templated, template):
    with pytest.raises(ValueError, match="chat template refuses messages of the roles system, user"):
        prompt_tokens(templated(template), MESSAGES)


def test_ends_are_not_part_of_an_answer_and_tags_are(tokenizer, spelling):
    assert answer_text(tokenizer, [5, 6, 63]) == "w5 w6"
    tagged = spelling(SIMPLE)
    tokens = tagged("<think>a</think>7<|end|>")["input_ids"]
    assert len(tokens) == 5 and answer_text(tagged, tokens) == "<think>a</think>7"


def test_the_answer_is_learned_with_its_end_and_nothing_after_it(spelling):
    for template in (SIMPLE, LINES):
        [text] = learned(spelling(template), [USER, ANSWER])
        assert text == "<|u|>How many?<|end|>" + "\n" * (template == LINES) + "<|a|>[Just seven.<|end|>]"


def test_one_example_holds_all_answers_where_earlier_turns_stay(spelling):
    assert learned(spelling(LINES), [USER, ANSWER, AGAIN, LATER]) == [
        "<|u|>How many?<|end|>\n<|a|>[Just seven.<|end|>]\n<|u|>And now?<|end|>\n<|a|>[Nine of them.<|end|>]"
    ]


def test_each_answer_is_an_example_where_earlier_turns_are_rewritten(spelling):
    tokenizer = spelling(THINKING.replace("opening", "''"))
    assert learned(tokenizer, [USER, ANSWER | THOUGHT, AGAIN, LATER | LATER_THOUGHT]) == [
        "<|u|>How many?<|end|><|a|>[<think>\nI count.\n</think>\n\nJust seven.<|end|>]",
        "<|u|>How many?<|end|><|a|>Just seven.<|end|><|u|>And now?<|end|><|a|>"
        "[<think>\nTwo came.\n</think>\n\nNine of them.<|end|>]",
    ]


@pytest.mark.parametrize("opening", ["''", "'<think>\\n'"])
@pytest.mark.parametrize("name", ["reasoning_content", "reasoning", "thinking", "content"])
def test_reasoning_is_learned_under_every_name_but_for_what_the_prompt_holds(spelling, name, opening):
    answer = ANSWER | {name: "I count."}
    if name == "content":
        answer = ANSWER | {"content": "<think>\nI count.\n</think>\n\nJust seven."}
    [text] = learned(spelling(THINKING.replace("opening", opening)), [USER, answer])
    begin = "[<think>\n" if opening == "''" else "<think>\n["
    assert text == f"<|u|>How many?<|end|><|a|>{begin}I count.\n</think>\n\nJust seven.<|end|>]"


def test_a_thought_that_the_prompt_opens_and_the_template_drops_is_written(spelling):
    tokenizer = spelling(DROPPING)
    prompt = "<|u|>How many?<|end|><|a|><think>\n"
    for answer in (ANSWER | THOUGHT, ANSWER | {"content": "<think>I count.</think>Just seven."}):
        assert learned(tokenizer, [USER, answer]) == [f"{prompt}[I count.\n</think>\n\nJust seven.<|end|>]"]
    assert learned(tokenizer, [USER, ANSWER]) == [f"{prompt}[\n</think>\n\nJust seven.<|end|>]"]


def test_an_empty_thought_that_only_prompts_have_is_read_and_not_learned(spelling):
    template = SIMPLE.replace(GENERATION, GENERATION.replace("<|a|>", "<|a|><think></think>"))
    assert learned(spelling(template), [USER, ANSWER]) == [
        "<|u|>How many?<|end|><|a|><think></think>[Just seven.<|end|>]"
    ]
    with pytest.raises(ValueError, match="its reasoning_content 'I count.' does not reappear"):
        learned(spelling(template), [USER, ANSWER | THOUGHT])


OPENS, CLOSES = (GENERATION.replace("<|a|>", f"<|a|>{tags}") for tags in ("<think>", "<think></think>"))


@pytest.mark.parametrize(
    ("before", "added", "learned_of_it"),
    [
        ("", OPENS, "</think>"),  # the answer's rendering has no tag
        ("</think>", OPENS, "</think>"),  # as GLM-4.7 closes a thought that was never opened
        ("<think></think>", OPENS, "</think>"),
        ("", CLOSES, ""),
        ("</think>", CLOSES, ""),  # as DeepSeek-V3.2's
        ("<think></think>", CLOSES, ""),
        ("</think>", GENERATION.replace("<|a|>", "<|a|></think>"), ""),
        ("", GENERATION.replace("<|a|>", "<|a|><think:x>"), "</think:x>"),
        ("", GENERATION.replace("<|a|>", "<|a|>[THINK]"), "[/THINK]"),
        ("", GENERATION.replace("<|a|>", "<|a|><|channel>thought"), "<channel|>"),
    ],
)
def test_the_thought_that_a_prompt_opens_is_closed_once(spelling, before, added, learned_of_it):
    template = "{% for m in messages %}<|{{ m.role[0] }}|>{% if m.role == 'assistant' %}" + before + "{% endif %}"
    template += "{{ m.content }}<|end|>{% endfor %}" + added
    tokenizer = spelling(template)
    [text] = learned(tokenizer, [USER, ANSWER])
    behind = text.removeprefix(tokenizer.decode(prompt_tokens(tokenizer, [USER])))
    assert "".join(behind.split()) == f"[{learned_of_it}Justseven.<|end|>]"


@pytest.mark.parametrize("answer", [ANSWER | THOUGHT, ANSWER | {"content": "<think>I count.</think>Just seven."}])
def test_a_thought_behind_one_that_the_prompt_has_closed_is_refused(spelling, answer):
    for template in (SIMPLE, THINKING.replace("opening", "''")):
        closed = template.replace("<|a|>", "<|a|><think>\n\n</think>\n\n") if template is SIMPLE else template
        closed = closed.replace("'<|a|>' + ''", "'<|a|><think>\\n\\n</think>\\n\\n'")
        with pytest.raises(ValueError, match=r"'I count\.' does not reappear in what is learned.*enable_thinking=true"):
            learned(spelling(closed), [USER, answer])


FIELD = SIMPLE.replace("{{ m.content }}", "{{ '((' ~ m.reasoning ~ '))' if m.reasoning }}{{ m.content }}")
IN_PARTS = (
    """{%- for m in messages -%}{{- '<|' + m.role[0] + '|>' -}}{%- if m.content is string -%}{{- m.content -}}
{%- else -%}{%- for block in m.content -%}
{{- '((' + block.thinking + '))' if block['type'] == 'thinking' else block.text -}}{%- endfor -%}{%- endif -%}
{{- '<|end|>' -}}{%- endfor -%}"""
    + GENERATION
)
WITHIN = "{% if not messages %}<think>{% endif %}" + SIMPLE


@pytest.mark.parametrize("inline", [False, True])
@pytest.mark.parametrize(
    ("template", "thought"),
    [(FIELD, "((I count.))"), (IN_PARTS, "((I count.))"), (WITHIN, "<think>\nI count.\n</think>\n\n")],
)
def test_a_thought_is_spelt_as_the_template_takes_it(spelling, template, thought, inline):
    answer = ANSWER | (
        {"content": "<think>\nI count.\n</think>\n\nJust seven."} if inline else {"thinking": "I count."}
    )
    [text] = learned(spelling(template), [USER, answer])
    assert text == f"<|u|>How many?<|end|><|a|>[{thought}Just seven.<|end|>]"


def test_no_empty_thought_stands_beside_the_turn_s_own(spelling):
    """As Kimi-K2's, which writes a field's thought, or an empty one before the content."""
    template = SIMPLE.replace(
        "{{ m.content }}", "{% if m.role == 'assistant' %}<think></think>{% endif %}{{ m.content }}"
    )
    with pytest.raises(ValueError, match="an empty thought stands beside the turn's own"):
        learned(spelling(template), [USER, ANSWER | {"content": "<think>I count.</think>Just seven."}])


def test_a_template_that_takes_no_chat_without_tools_has_an_end(spelling):
    template = "{%- for tool in tools -%}{{- tool.function.name -}}{%- endfor -%}" + SIMPLE
    tokenizer = spelling(template, eos="<|eos|>")
    assert learned(tokenizer, [USER, ANSWER], tools=[TOOL])[0].endswith("[Just seven.<|end|>]")
    assert tokenizer.convert_tokens_to_ids("<|end|>") in closing_tokens(tokenizer)


@pytest.mark.parametrize("role", ["system", "tool"])
def test_a_turn_that_the_prompt_does_not_show_is_refused(spelling, role):
    """As OLMo's, which skips turns of the role tool."""
    template = SIMPLE.replace("messages %}", f"messages if m.role != '{role}' %}}")
    told = {"role": role, "content": "Be brief."}
    with pytest.raises(ValueError, match=f"the {role}'s turn 'Be brief.' does not reappear in the prompt"):
        learned(spelling(template), [told, USER, ANSWER])
    switched = SIMPLE.replace("{{ m.content }}", "{{ m.content | replace('/no_think', '') }}")
    assert learned(spelling(switched), [{"role": "system", "content": "/no_think Be brief."}, USER, ANSWER])


@pytest.mark.parametrize(
    ("template", "answer", "dropped"),
    [
        (SIMPLE, ANSWER | THOUGHT, "its reasoning_content 'I count.'"),
        (SIMPLE, ANSWER | {"tool_calls": [CALL]}, "the tool call 'count_it'"),
        (SIMPLE, ANSWER | {"function_calls": "count_it()"}, "its function_calls 'count_it()'"),
        (SIMPLE.replace("{{ m.content }}", "{{ m.content[:4] }}"), ANSWER, "the content 'Just seven.'"),
        (DROPPING.replace("<think>\\n", ""), ANSWER | {"content": "<think>Hm</think>7"}, "the thought 'Hm'"),
        (SIMPLE, ANSWER | {"content": "Just<|end|>seven."}, "the content 'Just<|end|>seven.'"),
    ],
)
def test_what_does_not_reappear_is_refused_with_both_texts(spelling, template, answer, dropped):
    with pytest.raises(ValueError) as error:
        learned(spelling(template), [USER, answer])
    assert f"messages[1]: {dropped} does not reappear in what is learned, '" in str(error.value)


@pytest.mark.parametrize("template", [CALLING, TEXTUAL])
@pytest.mark.parametrize("content", ["", None])
def test_tool_calls_and_tools_reach_the_template(spelling, template, content):
    called = {"role": "assistant", "content": content, "tool_calls": [CALL]}
    result = {"role": "tool", "content": "7"}
    arguments = '{"what": "blue \\"sheep\\"", "n": 3}'
    for turn in (called, called | {"tool_calls": [{"function": CALL["function"] | {"arguments": arguments}}]}):
        tokenizer = spelling(template)
        assert learned(tokenizer, [USER, turn, result, ANSWER], tools=[TOOL]) == [
            f"count_it\n<|u|>How many?<|end|><|a|>[count_it {arguments}<|call|>]<|t|>7<|end|><|a|>[Just seven.<|end|>]"
        ]
        assert closing_tokens(tokenizer) == set(tokenizer.convert_tokens_to_ids(["<|end|>", "<|call|>"]))
    with pytest.raises(ValueError, match="the tool 'count_it' does not reappear in the prompt"):
        learned(spelling(SIMPLE), [USER, ANSWER], tools=[TOOL])


@pytest.mark.parametrize("mark", [{"weight": 0}, {"weight": 0.0}, {"train": False}])
def test_turns_that_are_not_to_be_learned_are_read(spelling, mark):
    assert learned(spelling(SIMPLE), [USER, ANSWER | mark, AGAIN, LATER | {"weight": 1, "train": True}]) == [
        "<|u|>How many?<|end|><|a|>Just seven.<|end|><|u|>And now?<|end|><|a|>[Nine of them.<|end|>]"
    ]
    with pytest.raises(ValueError, match="no turn is learned"):
        learned(spelling(SIMPLE), [USER, ANSWER | mark])


@pytest.mark.parametrize(
    ("template", "ends", "text"),
    [
        (SIMPLE, ["<|end|>", "<|eos|>"], "[Just seven.<|end|>]"),  # ChatML on a base whose end is another
        (FINAL_END, ["<|end|>", "<|eos|>"], "[Just seven.<|end|>]"),
        (NO_END, ["<|eos|>"], "[Just seven.<|eos|>]"),
        (NO_END.replace("{% endfor %}", "\n{% endfor %}"), ["<|eos|>"], "[Just seven.<|eos|>]"),
        (SIMPLE.replace("<|end|>", "</s>"), ["<|eos|>"], "[Just seven.</s><|eos|>]"),  # no token of this tokenizer
    ],
)
def test_what_ends_an_answer_is_an_end_and_where_nothing_does_one_is_put_there(spelling, template, ends, text):
    tokenizer = spelling(template, eos="<|eos|>")
    assert closing_tokens(tokenizer) == set(tokenizer.convert_tokens_to_ids(ends))
    assert learned(tokenizer, [USER, ANSWER])[0].endswith(f"<|a|>{text}")


def test_ends_that_the_model_names_cut_too(spelling):
    tokenizer = spelling(SIMPLE.replace("<|end|>", "<|call|><|end|>"), eos="<|eos|>")
    called = tokenizer.convert_tokens_to_ids("<|call|>")
    assert learned(tokenizer, [USER, ANSWER])[0].endswith("[Just seven.<|call|><|end|>]")
    assert learned(tokenizer, [USER, ANSWER], ends={called})[0].endswith("[Just seven.<|call|>]")


def test_an_answer_that_begins_with_white_space_follows_its_prompt(spelling):
    """Two line breaks are one token: the prompt ends in one break, and the answer begins with the other."""
    tokenizer = spelling(SIMPLE.replace("{{ m.content }}", "\n{{ m.content }}").replace("<|a|>{%", "<|a|>\n{%"))
    assert len(tokenizer("\n\n")["input_ids"]) == 1
    found = answer_tokens(tokenizer, [USER, ANSWER | {"content": "\n7"}])
    assert shown(tokenizer, [found]) == ["<|u|>\nHow many?<|end|><|a|>\n[\n7<|end|>]"]
    assert found.tokens[: found.targets[0]] == prompt_tokens(tokenizer, [USER])


def test_the_embedded_model_learns_the_answer_and_its_end():
    tokenizer = AutoTokenizer.from_pretrained(EMBEDDED)
    messages = [{"role": "user", "content": "1+2+3="}, {"role": "assistant", "content": "<answer>6</answer>"}]
    found = answer_tokens(tokenizer, messages)
    assert shown(tokenizer, [found]) == ["<|user|>1+2+3=<|assistant|>[<answer>6</answer><|end|>]"]
    assert found.tokens[: found.targets[0]] == prompt_tokens(tokenizer, messages[:1])
    assert found.tokens[-1] == tokenizer.eos_token_id


def test_without_a_template_the_answer_follows_the_prompt_and_ends_the_sequence(tokenizer):
    [found] = conversation_tokens(tokenizer, [*MESSAGES, {"role": "assistant", "content": "w4 w5"}])
    assert (found.tokens, found.learned) == ((1, 2, 3, 4, 5, 63), (False, False, False, True, True, True))
    assert found.tokens[:3] == prompt_tokens(tokenizer, MESSAGES)
    with pytest.raises(ValueError, match="no chat template, so a conversation can have one answer only"):
        conversation_tokens(tokenizer, [USER, ANSWER, AGAIN, LATER])


def test_an_answer_follows_the_prompt_that_it_is_given_to_whatever_the_template_changes_afterwards(spelling):
    """As Mistral's put a system prompt into the last turn, which is the user's only while it is not answered."""
    counted = "{{ messages | length }}" + SIMPLE
    assert learned(spelling(counted), [USER, ANSWER]) == ["1<|u|>How many?<|end|><|a|>[Just seven.<|end|>]"]
    moved = "{% for m in messages %}<|{{ m.role[0] }}|>{% if loop.last and m.role == 'user' %}Be brief. {% endif %}"
    moved += "{{ m.content }}<|end|>{% endfor %}" + GENERATION
    assert learned(spelling(moved), [USER, ANSWER, AGAIN, LATER]) == [
        "<|u|>Be brief. How many?<|end|><|a|>[Just seven.<|end|>]",
        "<|u|>How many?<|end|><|a|>Just seven.<|end|><|u|>Be brief. And now?<|end|><|a|>[Nine of them.<|end|>]",
    ]


def test_a_template_without_answers_is_refused(spelling):
    template = "{% for m in messages if m.role == 'user' %}{{ m.content }}{% endfor %}"
    with pytest.raises(ValueError, match=r"messages\[1\]: the model's chat template leaves the answer out"):
        learned(spelling(template), [USER, ANSWER])
    elsewhere = "{% for m in messages[::-1] %}<|{{ m.role[0] }}|>{{ m.content }}<|end|>{% endfor %}"
    with pytest.raises(ValueError, match="writes the answer somewhere else than behind its prompt"):
        learned(spelling(elsewhere), [USER, ANSWER])


@pytest.mark.parametrize(
    ("end", "opened"),
    [
        ("<think>\n", "<think>\n"),
        ("<think>", "<think>"),
        ("<think>\n\n</think>\n\n", "<think>\n\n</think>\n\n"),
        ("[THINK]", "[THINK]"),
        ("", ""),
        ("<think>a", ""),
    ],
)
def test_the_beginning_of_an_answer_in_its_prompt_belongs_to_it(spelling, end, opened):
    tokenizer = spelling(SIMPLE.replace(GENERATION, GENERATION.replace("<|a|>", f"<|a|>{end}")))
    assert opened_text(tokenizer, prompt_tokens(tokenizer, [USER])) == opened


def test_the_date_of_a_template_is_the_recipe_s(spelling):
    dated = "{{ strftime_now('%d %b %Y, %A %-d %B') }}{% if strftime_now is defined %}!{% endif %}" + SIMPLE
    tokenizer = spelling(dated)
    set_template(tokenizer, Template(None, {}, "2024-07-06"))
    assert learned(tokenizer, [USER, ANSWER])[0].startswith("06 Jul 2024, Saturday 6 July!<|u|>")


def test_arguments_are_defaults_in_the_template_s_first_lines(spelling):
    template = "\n  {{ name }}{% macro m() %}{{ size }}{% endmacro %}{{ m() }}{% if loud %}!{% endif %}" + SIMPLE
    tokenizer = spelling(template)
    set_template(tokenizer, Template(None, {"name": 'a "b" %} {{', "size": 3, "loud": True}, "2024-07-06"))
    assert learned(tokenizer, [USER, ANSWER])[0].startswith('\n  a "b" %} {{3!<|u|>')
    text = tokenizer.apply_chat_template([USER], tokenize=False, loud=False, name="x")
    assert text.startswith("\n  x3<|u|>")
    with pytest.raises(
        ValueError, match=r"model\.template_arguments\.quiet: the model's chat template has no argument"
    ):
        set_template(tokenizer, Template(None, {"quiet": True}, "2024-07-06"))
    with pytest.raises(ValueError, match=r"template_arguments\.messages: this is no name"):
        set_template(tokenizer, Template(None, {"messages": True}, "2024-07-06"))
    with pytest.raises(ValueError, match="the model has no chat template, so there is nothing that takes them"):
        set_template(spelling(None), Template(None, {"size": 3}, "2024-07-06"))


@pytest.mark.parametrize("name", template_names())
def test_templates_that_ship(spelling, name):
    tokenizer = spelling(None, eos="<|eos|>")
    set_template(tokenizer, Template(name, {}, "2024-07-06"))
    system = {"role": "system", "content": "Be brief."}
    for text, answer in zip(learned(tokenizer, [system, USER, ANSWER, AGAIN, LATER]), ("seven", "them"), strict=False):
        assert text.endswith("]") and answer in text
    thoughtful = name == "chatml-think"
    if thoughtful:
        assert "[I count.\n</think>\n\nJust seven." in learned(tokenizer, [USER, ANSWER | THOUGHT])[0]


def test_a_template_may_be_a_file(spelling, tmp_path):
    (tmp_path / "own.jinja").write_text(LINES)
    tokenizer = spelling(None)
    set_template(tokenizer, Template(str(tmp_path / "own.jinja"), {}, "2024-07-06"))
    assert tokenizer.chat_template == LINES
    with pytest.raises(ValueError, match="there is no such file; give one, or a template that ships: chatml, "):
        set_template(tokenizer, Template("chatlm", {}, "2024-07-06"))


def test_prompts_made_into_tokens_together_are_those_of_each():
    tokenizer = AutoTokenizer.from_pretrained(EMBEDDED)
    conversations = [[{"role": "user", "content": text}] for text in ("1+2=", "", "99-19+3=", "1+2=")]
    assert prompts_tokens(tokenizer, conversations) == [prompt_tokens(tokenizer, one) for one in conversations]
    assert prompts_tokens(tokenizer, []) == []


# Forms of published templates in our own words: GLM-4 has no end, and the rest of the line in its prompt or not.
GLM = "{% for m in messages %}<|{{ m.role[0] }}|>{{ m.metadata }}\n{{ m.content }}{% endfor %}" + GENERATION
GLM_LINE = GLM.replace("<|a|>{% endif %}", "<|a|>\n{% endif %}")
NAMED = (
    "{% for m in messages %}{% if m.role == 'user' %}USER: {{ m.content }} {% else %}ASSISTANT: {{ m.content }}<|eos|>"
    "{% endif %}{% endfor %}{% if add_generation_prompt %}ASSISTANT:{% endif %}"
)
BRACKETS = (
    "{% for m in messages %}{% if m.role == 'user' %}{{ '<|s|>[INST] ' + m.content + ' [/INST]' }}{% else %}"
    "{{ ' ' + m.content + ' <|eos|>' }}{% endif %}{% endfor %}"
)


@pytest.mark.parametrize(
    ("template", "first", "second"),
    [
        (GLM, "\nJust seven.<|eos|>", "\nNine of them.<|eos|>"),
        (GLM_LINE, "Just seven.<|eos|>", "Nine of them.<|eos|>"),
        (NAMED, " Just seven.<|eos|>", " Nine of them.<|eos|>"),
        (BRACKETS, " Just seven. <|eos|>", " Nine of them. <|eos|>"),
    ],
)
def test_other_forms_learn_the_answer_and_one_end(spelling, template, first, second):
    tokenizer = spelling(template, eos="<|eos|>")
    [one] = learned(tokenizer, [USER, ANSWER])
    assert one.endswith(f"[{first}]") and one.count("[") - template.count("INST") == 1
    answers = learned(tokenizer, [USER, ANSWER, AGAIN, LATER])
    assert f"[{first}]" in answers[0] and answers[-1].endswith(f"[{second}]")
    with pytest.raises(ValueError, match="its reasoning_content 'I count.' does not reappear"):
        learned(tokenizer, [USER, ANSWER | THOUGHT])
