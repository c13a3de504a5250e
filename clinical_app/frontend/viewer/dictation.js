// Dictation: the text of a study, made by the server, for the reader's dictation system.

export class Dictation {
  constructor(desk) {
    this.desk = desk;
  }

  // The server writes what it has saved, so the review goes first.
  async copy(study) {
    const { desk } = this;
    let text;
    try {
      if (desk.reviews.isUnsaved(study)) await desk.reviews.saveAll();
      const answer = await fetch(desk.reviews.studies.get(study.id).text_url, { credentials: "same-origin", cache: "no-store" });
      text = await answer.text();
      if (!answer.ok) throw new Error(JSON.parse(text).message);
    } catch (error) {
      desk.tell(error instanceof TypeError ? "The server does not answer; nothing was copied." : error.message);
      return;
    }
    desk.root.dataset.copied = text;
    try {
      await navigator.clipboard.writeText(text);
      desk.tell("Copied for dictation.");
    } catch (error) {
      desk.sheet.text(text); // without HTTPS the browser keeps the clipboard to itself
    }
  }
}
