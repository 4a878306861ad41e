// A form that undoes something asks first: data-confirm names the dialog that asks, data-about is what is at stake. Without scripts it is
// sent as it is.

document.addEventListener("submit", (event) => {
  const form = event.target as HTMLFormElement;
  const dialog = document.getElementById(form.dataset["confirm"] ?? "");
  if (!(dialog instanceof HTMLDialogElement)) return;
  event.preventDefault();
  const about = dialog.querySelector("[data-part=about]");
  if (about) about.textContent = form.dataset["about"] ?? "";
  dialog.returnValue = "";
  // Sent this way no form asks again.
  dialog.addEventListener("close", () => { if (dialog.returnValue === "yes") form.submit(); }, { once: true });
  dialog.showModal();
});
