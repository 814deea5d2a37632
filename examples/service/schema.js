// What a body may hold. Ranges of the decoding options are the session's to check: its messages
// name the value.
const options = {
  type: 'object',
  additionalProperties: false,
  properties: {
    maxNewTokens: { type: 'integer' },
    minNewTokens: { type: 'integer' },
    temperature: { type: 'number' },
    topK: { type: 'integer' },
    topP: { type: 'number' },
    // Results have it as text, which JSON numbers of 64 bits would not survive.
    seed: { anyOf: [{ type: 'integer' }, { type: 'string', pattern: '^\\d{1,20}$' }] },
    priority: { type: 'integer' },
  },
};

export function bodySchema({ deadlineMs, maxInputs }, { many }) {
  const one = { type: 'string' };
  const list = { type: 'array', items: one, minItems: 1, maxItems: maxInputs };
  return {
    body: {
      type: 'object',
      required: ['input'],
      additionalProperties: false,
      properties: {
        input: many ? { anyOf: [one, list] } : one,
        options,
        deadlineMs: { type: 'integer', minimum: 1, maximum: deadlineMs },
      },
    },
  };
}
