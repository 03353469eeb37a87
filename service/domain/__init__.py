"""Pure rules: standard library only; no await, clock, randomness, framework or JSON library."""
