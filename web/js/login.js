/** Asks for name and password when the daemon does. */
import { ApiError, denied, signIn } from "./api.js";
import { $, setText } from "./dom.js";

export function startLogin() {
  const dialog = /** @type {HTMLDialogElement} */ ($("login"));
  const form = /** @type {HTMLFormElement} */ ($("login-form"));
  const user = /** @type {HTMLInputElement} */ ($("login-user"));
  const password = /** @type {HTMLInputElement} */ ($("login-password"));
  denied.watch((asked) => {
    if (asked && !dialog.open) dialog.showModal();
    if (!asked && dialog.open) dialog.close();
  });
  // Esc would leave a page without data behind.
  dialog.addEventListener("cancel", (event) => event.preventDefault());
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    setText($("login-problem"), "");
    try {
      await signIn(user.value, password.value);
      password.value = "";
      denied.set(false);
    } catch (error) {
      const wrong = error instanceof ApiError && error.status === 401;
      setText($("login-problem"), wrong ? "Name or password is wrong." : `Signing in failed: ${error instanceof Error ? error.message : error}`);
      password.select();
    }
  });
}
