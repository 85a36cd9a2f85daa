// The activation functions of the feed-forward layers. Keys are the names in the model's description.

export const activations = {
  gelu: (x) => (x * (1 + erf(x * Math.SQRT1_2))) / 2,
  "squared relu": (x) => (x > 0 ? x * x : 0),
  silu: (x) => x / (1 + Math.exp(-x)),
};

const COEFFICIENTS = [
  0.17087277, -0.82215223, 1.48851587, -1.13520398, 0.27886807, -0.18628806, 0.09678418, 0.37409196, 1.00002368,
  -1.26551223,
];

/** The error function, accurate to 1.2e-7 (Numerical Recipes, section 6.2: a Chebyshev fit of erfc). */
export function erf(x) {
  const t = 1 / (1 + Math.abs(x) / 2);
  let fit = 0;
  for (const coefficient of COEFFICIENTS) fit = fit * t + coefficient;
  const tail = t * Math.exp(-x * x + fit);
  return x < 0 ? tail - 1 : 1 - tail;
}
