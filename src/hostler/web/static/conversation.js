// The live conversation: follows the page's stream, keeps times counting, and sends what a person does.
// Nothing here decides anything: the server renders, these modules put.

import "./feed.js";
import "./queue.js";
import "./composer.js";
import "./sharing.js";
import "./stream.js";
