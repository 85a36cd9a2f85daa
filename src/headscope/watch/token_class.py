"""Classifies tokens, for the colours in TensorBoard's projector."""


def token_class(token: str) -> str:
    """Returns the class of a token, which is given as the tokenizer shows it.

    A single character is a capital letter, small letter, letter (in a script without case), digit, space or
    punctuation. A longer token is letters, space and letters, a number, space, punctuation, a special token such as
    <pad>, bytes that do not form a character, or mixed.
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
