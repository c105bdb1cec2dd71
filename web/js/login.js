/** Asks for name and password when the daemon does, says who is in, and lets him out. */
import { ApiError, denied, get, signIn, signOut } from "./api.js";
import { $, setAttribute, setText } from "./dom.js";
import { connection } from "./stream.js";

/** Nobody in particular has nothing to leave. */
async function showUser() {
  const { user } = await get("session").catch(() => ({ user: null }));
  const button = $("leave");
  button.hidden = !user;
  setText(button, user ?? "");
  setAttribute(button, "aria-label", `Sign out ${user}`);
  setAttribute(button, "title", "Sign out");
}

export function startLogin() {
  const dialog = /** @type {HTMLDialogElement} */ ($("login"));
  const form = /** @type {HTMLFormElement} */ ($("login-form"));
  const user = /** @type {HTMLInputElement} */ ($("login-user"));
  const password = /** @type {HTMLInputElement} */ ($("login-password"));
  denied.watch((asked) => {
    if (asked && !dialog.open) dialog.showModal();
    if (!asked && dialog.open) dialog.close();
  });
  connection.watch((state) => state === "live" && showUser());
  $("leave").addEventListener("click", async () => {
    await signOut();
    // Nothing of what was shown stays behind.
    location.reload();
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
