"""What kind of token one is, in a word or two: the colours of the projector."""


def token_class(token: str) -> str:
    """The class of a token, given as the tokenizer shows it.

    Characters are capital letters, small letters, letters (of a script without case), digits, spaces or punctuation.
    Longer tokens are words or pieces of words, those that begin with a space, numbers, spaces, punctuation, special
    tokens such as <pad>, bytes that are no whole character, or mixed.
    """
    bare = token.strip()
    if not bare:
        return "space"
    if len(bare) > 2 and bare[0] == "<" and bare[-1] == ">":
        return "special"
    if bare.startswith("\\x"):
        return "bytes"
    if not any(c.isalnum() for c in bare):
        return "punctuation"
    if bare.isnumeric():
        return "digit" if len(bare) == 1 else "number"
    if not bare.isalpha():
        return "mixed"
    if len(token) == 1:
        return "capital letter" if token.isupper() else "small letter" if token.islower() else "letter"
    return "space and letters" if token[0].isspace() else "letters"
