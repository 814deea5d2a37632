// The compiled package of this checkout. In a project of your own: import from 'speccascade'.
export * from '../../dist/index.js';
