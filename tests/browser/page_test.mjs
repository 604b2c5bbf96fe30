// Tests the page. Run by run.sh, which says what it needs.

import './whole_path.mjs';
import './form.mjs';
import './errors.mjs';
import './hostile.mjs';
import './devices.mjs';
import './real_gateway.mjs';

import {runTests} from './harness.mjs';

await runTests();
