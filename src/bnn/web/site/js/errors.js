// SPDX-License-Identifier: BSD-3-Clause
// What a user can mend. `key` names a text of words/*.js; `detail` is the core's own message.
export class UserError extends Error {
  constructor(message, key = "error.model") {
    super(message);
    this.name = "UserError";
    this.key = key;
  }
}
