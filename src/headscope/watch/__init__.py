"""Lightning callbacks, a file each: what is kept and shown while a model trains. None of them changes a weight."""
