/** The pages of a list, each requested with the token of the previous one. */
export async function* pages<Page extends { readonly nextPageToken: string }>(ask: (pageToken: string) => Promise<Page>): AsyncGenerator<Page, void> {
  let pageToken = "";
  do {
    const page = await ask(pageToken);
    yield page;
    pageToken = page.nextPageToken;
  } while (pageToken);
}
