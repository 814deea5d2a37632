// The package of this checkout; a copy of this example says `from 'speccascade'` instead.
export * from '../../dist/index.js';
