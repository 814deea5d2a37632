/** Numbers of the command line that may be infinite. */

/** Of a text option. */
export const realNumber = {
  pattern: /^([+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?|[+-]?inf(inity)?)$/i,
  expected: 'a number, inf or -inf',
};

/** Of a text that `realNumber` allows. */
export function numberOf(given: string): number {
  const infinite = /^([+-]?)inf/i.exec(given);
  if (infinite) return infinite[1] === '-' ? -Infinity : Infinity;
  return Number(given);
}
