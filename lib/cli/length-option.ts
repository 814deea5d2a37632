/** How long outputs may be: an option of every command that decodes. */
import { maxTokens, usualSizes } from '../session/usual-sizes.ts';
import { integer } from './options.ts';

export const lengthOption = {
  'max-new-tokens': integer({
    value: 'N',
    help: 'longest output, in tokens',
    default: usualSizes.maxNewTokens,
    min: 1,
    max: maxTokens,
  }),
};
